#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "wspool/endpoint.hpp"
#include "wspool/export.hpp"

namespace wspool {

/// A fixed number of endpoints, handed out in turn.
///
/// Thread safety: every method may be called from any thread.
class WSPOOL_API endpoint_pool_c {
public:
    /// The pool of the process, with one endpoint a core; made at the first call. It is never
    /// destroyed, so that threads still running at exit find it whole. After fork() the child
    /// gets a fresh one.
    static endpoint_pool_c& Instance();

    /// A private pool; `size` 0 takes one endpoint a core.
    explicit endpoint_pool_c(std::size_t size = 0);
    ~endpoint_pool_c();
    endpoint_pool_c(const endpoint_pool_c&) = delete;
    endpoint_pool_c& operator=(const endpoint_pool_c&) = delete;

    /// The last valid index.
    [[nodiscard]] std::size_t Max_index() const noexcept { return endpoints_.size() - 1; }
    /// The next endpoint in turn.
    endpoint_c& Get_endpoint();
    /// The endpoint at `index`. Throws std::out_of_range above `Max_index()`.
    endpoint_c& Get_endpoint(std::size_t index);
    /// As `Get_endpoint`, sharing the ownership, so that an endpoint may outlive its pool.
    std::shared_ptr<endpoint_c> Share_endpoint(std::size_t index);

    /// Closes every connection, waits up to `timeout` for the closing handshakes, aborts the
    /// rest and stops the threads. True if all threads have ended.
    bool Close(std::chrono::nanoseconds timeout);

private:
    std::vector<std::shared_ptr<endpoint_c>> endpoints_;
    std::atomic<std::size_t> next_{0};
};

}  // namespace wspool
