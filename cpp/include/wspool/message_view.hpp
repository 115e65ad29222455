#pragma once

#include <cstdint>
#include <string_view>

namespace wspool {

/// One received message, or a fragment of one. The bytes belong to the library and are valid only
/// during the call that hands them out, unless that call says otherwise.
struct message_view_t {
    std::string_view payload;
    std::int64_t received_ns = 0;  ///< Unix time of the read that completed it, in nanoseconds
    bool is_text = false;          ///< text (valid UTF-8, RFC 6455 section 8.1) or binary
    bool is_ascii = false;         ///< text without a byte above 127; false says nothing
    bool is_first = true;          ///< begins a message; only sinks that ask get fragments
    bool is_final = true;          ///< ends a message
    /// Which connection of a feed it came from, from 1. 0: no message, but one of the queue's own
    /// marks.
    std::uint32_t generation = 1;
};

}  // namespace wspool
