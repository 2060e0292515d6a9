// Whole traces: nothing but the trace decides the answers, and they are JSON.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tools/flat_json.h"
#include "tools/replay.h"

namespace {

struct Answers {
  std::string text;
  std::string error;
};

// `padding` follows each line.
Answers Run(std::string_view trace, char padding) {
  fusebox::Replay replay;
  Answers answers;
  bool valid = true;
  while (valid && !trace.empty()) {
    const std::size_t size = trace.find('\n');
    const std::string_view line = trace.substr(0, size);
    // In memory of its own size, so that AddressSanitizer sees a read beyond
    // the padding.
    std::string padded(line);
    padded.append(fusebox::Replay::kPadding, padding);
    padded.shrink_to_fit();
    valid = replay.Apply(std::string_view(padded.data(), line.size()),
                         answers.text);
    trace.remove_prefix(line.size() + (size == std::string_view::npos ? 0 : 1));
  }
  if (valid) valid = replay.End();
  answers.error = replay.error();
  if (valid != answers.error.empty()) std::abort();
  return answers;
}

void CheckJsonLines(std::string text) {
  fusebox::FlatJsonParser parser;
  const std::size_t size = text.size();
  text.append(fusebox::FlatJsonParser::kPadding, '\0');
  for (std::size_t start = 0; start < size;) {
    const std::size_t end = text.find('\n', start);
    if (end >= size) std::abort();
    if (!parser.Parse(std::string_view(text).substr(start, end - start))) {
      std::abort();
    }
    start = end + 1;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string_view trace(reinterpret_cast<const char*>(data), size);
  const Answers answers = Run(trace, '\0');
  const Answers again = Run(trace, '"');
  if (answers.text != again.text || answers.error != again.error) std::abort();
  CheckJsonLines(answers.text);
  return 0;
}
