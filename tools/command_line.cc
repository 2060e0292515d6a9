#include "tools/command_line.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <variant>

namespace fusebox {
namespace {

bool IsHelp(std::string_view argument) {
  return argument == "--help" || argument == "-help" || argument == "-h";
}

// False if `text` does not say.
bool ParseSwitch(std::string_view text, bool& value) {
  value = text == "true" || text == "1";
  return value || text == "false" || text == "0";
}

ParsedFlags Error(std::string text) {
  ParsedFlags parsed;
  parsed.error = std::move(text);
  return parsed;
}

}  // namespace

ParsedFlags ParseFlags(const std::vector<std::string_view>& arguments,
                       const std::vector<Flag>& flags,
                       std::vector<std::string>* operands) {
  // Help first: who asks for it wants no lecture on the other arguments.
  if (std::any_of(arguments.begin(), arguments.end(), IsHelp)) {
    ParsedFlags parsed;
    parsed.help = true;
    return parsed;
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (operands != nullptr && argument == "--") {
      operands->insert(operands->end(),
                       arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                       arguments.end());
      break;
    }
    if (operands != nullptr && (argument.empty() || argument[0] != '-')) {
      operands->emplace_back(argument);
      continue;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      return Error("unexpected argument \"" + std::string(argument) + "\"");
    }
    std::string_view name = argument.substr(argument[1] == '-' ? 2 : 1);
    const std::size_t equals = name.find('=');
    const bool has_value = equals != std::string_view::npos;
    std::string_view value = has_value ? name.substr(equals + 1) : "";
    name = name.substr(0, equals);

    const auto flag =
        std::find_if(flags.begin(), flags.end(),
                     [&](const Flag& known) { return known.name == name; });
    if (flag == flags.end()) {
      return Error("unknown flag \"" + std::string(argument) + "\"");
    }
    if (bool* const* on = std::get_if<bool*>(&flag->value)) {
      if (!ParseSwitch(has_value ? value : "true", **on)) {
        return Error("--" + std::string(name) + " is true or false, not \"" +
                     std::string(value) + "\"");
      }
      continue;
    }
    if (!has_value) {
      if (i + 1 == arguments.size()) {
        return Error("--" + std::string(name) + " takes a value");
      }
      value = arguments[++i];
    }
    if (std::string* const* text = std::get_if<std::string*>(&flag->value)) {
      **text = value;
    } else {
      std::get<std::vector<std::string>*>(flag->value)->emplace_back(value);
    }
  }
  return ParsedFlags();
}

}  // namespace fusebox
