#include "interceptor/refusal_mark.h"

#include <cstddef>

namespace fusebox {
namespace {

// Its address is what counts.
constexpr char kKey[] = "fusebox-refused";
constexpr std::size_t kKeySize = sizeof(kKey) - 1;

// Marks that can be found now. Whoever asks about a refused call got the call
// after its mark was put, and so sees at least that one.
std::atomic<int> marks_put{0};

}  // namespace

RefusalMark::~RefusalMark() {
  if (put_) marks_put.fetch_sub(1, std::memory_order_relaxed);
}

void RefusalMark::Put(Metadata& received) {
  put_ = true;
  marks_put.fetch_add(1, std::memory_order_relaxed);
  // A value without a length: to read it yields nothing.
  received.emplace(grpc::string_ref(kKey, kKeySize),
                   grpc::string_ref(reinterpret_cast<const char*>(this), 0));
}

RefusalMark* RefusalMark::Find(const Metadata& received) {
  const auto range = received.equal_range(grpc::string_ref(kKey, kKeySize));
  for (auto entry = range.first; entry != range.second; ++entry) {
    if (entry->first.data() == kKey) {
      return reinterpret_cast<RefusalMark*>(
          const_cast<char*>(entry->second.data()));
    }
  }
  return nullptr;
}

bool RefusalMark::AnyPut() {
  return marks_put.load(std::memory_order_relaxed) != 0;
}

}  // namespace fusebox
