#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "wspool/export.hpp"

namespace wspool {

/// Tells an event loop of somebody else what has become ready: a descriptor for it to watch for
/// readability, and a list of numbers. However many are posted before it looks, it wakes up once.
///
/// Thread safety: any thread may post; one at a time may take.
class WSPOOL_API ready_list_c {
public:
    /// Throws std::system_error if there are no descriptors left.
    ready_list_c();
    ~ready_list_c();
    ready_list_c(const ready_list_c&) = delete;
    ready_list_c& operator=(const ready_list_c&) = delete;

    /// Readable while numbers wait. Owned by this object.
    [[nodiscard]] int Descriptor() const noexcept { return read_end_; }
    void Post(std::uint64_t number) noexcept;
    /// All numbers posted since the last call, in order.
    [[nodiscard]] std::vector<std::uint64_t> Take();

private:
    std::mutex mutex_;
    std::vector<std::uint64_t> numbers_;  // guarded by mutex_
    int read_end_ = -1;
    int write_end_ = -1;  // the same as read_end_ for an eventfd
};

}  // namespace wspool
