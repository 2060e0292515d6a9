// The main() of fuzz targets in ordinary tests: calls the target with each file
// of the directories given.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);

int main(int argc, char** argv) {
  int inputs = 0;
  for (int i = 1; i < argc; ++i) {
    std::error_code error;
    for (const auto& file :
         std::filesystem::directory_iterator(argv[i], error)) {
      std::ifstream in(file.path(), std::ios::binary);
      // In memory of its own size, so that AddressSanitizer sees a read beyond
      // the end.
      const std::string input((std::istreambuf_iterator<char>(in)), {});
      // The last line of a test that fails.
      std::printf("%s\n", file.path().c_str());
      std::fflush(stdout);
      LLVMFuzzerTestOneInput(
          reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
      ++inputs;
    }
    if (error) {
      std::printf("%s: %s\n", argv[i], error.message().c_str());
      return 1;
    }
  }
  std::printf("%d inputs\n", inputs);
  return inputs > 0 ? 0 : 1;
}
