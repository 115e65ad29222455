#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "wspool/testing/loopback_server.hpp"

namespace wspool::testing {

/// The byte stream that a replay sends, built once and shared by all connections. A position is
/// an offset from the stream's start; everything else about a connection's progress follows from
/// it, so sending costs no bookkeeping per message.
///
/// Thread safety: immutable.
class replay_script {
public:
    static constexpr std::uint64_t endless = std::numeric_limits<std::uint64_t>::max();

    struct totals {
        std::uint64_t messages = 0;
        std::uint64_t payload_bytes = 0;
        std::uint32_t crc32 = 0;
    };

    explicit replay_script(const replay_options_t& options);

    /// Where the stream ends; `endless` if it doesn't.
    [[nodiscard]] std::uint64_t end() const noexcept { return end_; }
    /// The stream's bytes from `offset` on, and how many of them lie together.
    [[nodiscard]] const char* at(std::uint64_t offset) const noexcept {
        return block_.data() + static_cast<std::size_t>(offset % block_.size());
    }
    [[nodiscard]] std::size_t contiguous(std::uint64_t offset) const noexcept {
        return block_.size() - static_cast<std::size_t>(offset % block_.size());
    }
    /// Where the first `messages` messages end.
    [[nodiscard]] std::uint64_t offset_after(std::uint64_t messages) const noexcept;
    /// The first end of a frame at or after `offset`: only there may a control frame go between.
    [[nodiscard]] std::uint64_t frame_boundary(std::uint64_t offset) const noexcept;
    /// Messages that end at or before `offset`.
    [[nodiscard]] std::uint64_t messages_until(std::uint64_t offset) const noexcept;
    [[nodiscard]] totals totals_until(std::uint64_t offset) const noexcept;

private:
    struct mark {
        std::uint64_t end = 0;            // of the message in the cycle
        std::uint64_t payload_bytes = 0;  // of the cycle's messages up to and with this one
        std::uint32_t crc32 = 0;          // of the same
    };
    [[nodiscard]] std::size_t marks_until(std::uint64_t position) const noexcept;

    std::string block_;  // as many whole cycles as make a large write possible
    std::vector<mark> marks_;
    std::vector<std::uint64_t> frame_ends_;  // in the cycle
    std::uint64_t cycle_bytes_ = 0;
    std::uint64_t end_ = 0;
};

}  // namespace wspool::testing
