#include "fuzz_records.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    wspool::fuzz::check_records(data, size);
    return 0;
}
