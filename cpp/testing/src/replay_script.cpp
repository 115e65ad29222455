#include "replay_script.hpp"

#include <algorithm>

#include "checksum.hpp"
#include "frame.hpp"

namespace wspool::testing {
namespace {

// Small enough to stay in a second-level cache while it is sent over and over.
constexpr std::size_t block_target = 1U << 20U;

/// CRC-32 of `count` repetitions of a string, by doubling.
std::uint32_t repeated_crc32(std::uint32_t crc, std::uint64_t size, std::uint64_t count) {
    std::uint32_t result = 0;
    while (count != 0) {
        if ((count & 1U) != 0) result = combine_crc32(result, crc, size);
        count >>= 1U;
        if (count != 0) crc = combine_crc32(crc, crc, size);
        size *= 2;
    }
    return result;
}

}  // namespace

replay_script::replay_script(const replay_options_t& options) {
    std::uint32_t crc = 0;
    std::uint64_t payload_bytes = 0;
    marks_.reserve(options.messages.size());
    for (const message_t& message : options.messages) {
        const std::string_view data = message.data;
        const std::size_t step = options.fragment != 0 ? options.fragment : data.size();
        opcode code = message.is_text ? opcode::text : opcode::binary;
        std::size_t at = 0;
        do {
            const std::string_view piece = data.substr(at, step);
            at += piece.size();
            append_frame(block_, code, at == data.size(), piece);
            frame_ends_.push_back(block_.size());
            code = opcode::continuation;
        } while (at < data.size());
        crc = update_crc32(crc, data);
        payload_bytes += data.size();
        marks_.push_back({block_.size(), payload_bytes, crc});
    }
    cycle_bytes_ = block_.size();
    end_ = options.repeat && *options.repeat < endless / cycle_bytes_
               ? *options.repeat * cycle_bytes_
               : endless;

    const std::uint64_t wanted = (block_target + cycle_bytes_ - 1) / cycle_bytes_;
    const std::uint64_t copies = std::min(wanted, options.repeat.value_or(wanted));
    block_.reserve(static_cast<std::size_t>(std::max<std::uint64_t>(copies, 1) * cycle_bytes_));
    for (std::uint64_t i = 1; i < copies; ++i) {
        block_.append(block_, 0, static_cast<std::size_t>(cycle_bytes_));
    }
}

std::uint64_t replay_script::offset_after(std::uint64_t messages) const noexcept {
    const std::uint64_t cycles = messages / marks_.size();
    const auto rest = static_cast<std::size_t>(messages % marks_.size());
    return cycles * cycle_bytes_ + (rest != 0 ? marks_[rest - 1].end : 0);
}

std::uint64_t replay_script::frame_boundary(std::uint64_t offset) const noexcept {
    const std::uint64_t position = offset % cycle_bytes_;
    if (position == 0) return offset;
    return offset - position + *std::lower_bound(frame_ends_.begin(), frame_ends_.end(), position);
}

std::size_t replay_script::marks_until(std::uint64_t position) const noexcept {
    const auto after = std::upper_bound(
        marks_.begin(), marks_.end(), position,
        [](std::uint64_t wanted, const mark& candidate) { return wanted < candidate.end; });
    return static_cast<std::size_t>(after - marks_.begin());
}

std::uint64_t replay_script::messages_until(std::uint64_t offset) const noexcept {
    return offset / cycle_bytes_ * marks_.size() + marks_until(offset % cycle_bytes_);
}

replay_script::totals replay_script::totals_until(std::uint64_t offset) const noexcept {
    const std::uint64_t cycles = offset / cycle_bytes_;
    const std::size_t rest = marks_until(offset % cycle_bytes_);
    const mark& cycle = marks_.back();
    totals result{cycles * marks_.size() + rest, cycles * cycle.payload_bytes,
                  repeated_crc32(cycle.crc32, cycle.payload_bytes, cycles)};
    if (rest != 0) {
        const mark& last = marks_[rest - 1];
        result.payload_bytes += last.payload_bytes;
        result.crc32 = combine_crc32(result.crc32, last.crc32, last.payload_bytes);
    }
    return result;
}

}  // namespace wspool::testing
