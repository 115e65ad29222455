#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wspool/export.hpp"

namespace wspool::detail {

/// Random numbers for masking keys, which a peer must not be able to predict (RFC 6455
/// section 5.3), from a pool that the operating system's generator fills.
///
/// websocketpp's own source asks the system for every key under one lock for all connections.
/// Thread safety: distinct objects: safe. Shared objects: unsafe; senders use `This_thread()`.
class WSPOOL_API random_source {
public:
    random_source() = default;

    std::uint32_t operator()() {
        if (next_ == pool_.size() || generation_ != fork_generation()) refill();
        return pool_[next_++];
    }

    /// The calling thread's own source.
    static random_source& This_thread();

private:
    void refill();
    /// Counts forks, so that a child does not repeat its parent's numbers.
    static unsigned fork_generation() noexcept;

    std::array<std::uint32_t, 256> pool_{};
    std::size_t next_ = 256;
    unsigned generation_ = 0;
};

}  // namespace wspool::detail
