#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "wspool/options.hpp"

namespace wspool::protocol {

/// What the two sides agreed on (RFC 7692 section 7.1).
struct deflate_parameters {
    bool agreed = false;
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    int server_max_window_bits = 15;
    int client_max_window_bits = 15;
};

/// The extension's offer for Sec-WebSocket-Extensions.
std::string deflate_offer(const deflate_options_t& options);

/// Reads one element of the server's Sec-WebSocket-Extensions. False, and `error` set, if it is
/// not an answer to our offer.
bool read_deflate_answer(std::string_view element, const deflate_options_t& options,
                         deflate_parameters& out, std::string& error);

/// Inflates the messages of one connection, never beyond a bound.
///
/// Memory (about 40 KB) is taken with the first message. Distinct objects: thread safe.
class inflater {
public:
    enum class result_e { done, too_big, corrupt };

    explicit inflater(const deflate_parameters& parameters);
    ~inflater();
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;

    /// Inflates a piece of a message and gives the result to `take(const char*, size_t)`, which
    /// returns false to stop (then `done`). `room` is what the message may still grow by.
    template <typename Take>
    result_e inflate(const char* data, std::size_t size, std::size_t& room, Take&& take) {
        begin(data, size);
        while (true) {
            std::size_t count = 0;
            const char* out = nullptr;
            const result_e result = step(room, out, count);
            if (result != result_e::done) return result;
            if (count == 0) return result_e::done;
            room -= count;
            if (!take(out, count)) return result_e::done;
        }
    }
    /// The end of a message: the four bytes that its sender left out (section 7.2.2).
    template <typename Take>
    result_e finish(std::size_t& room, Take&& take) {
        const result_e result = inflate("\x00\x00\xff\xff", 4, room, std::forward<Take>(take));
        if (result == result_e::done) end_message();
        return result;
    }

private:
    struct state;
    void begin(const char* data, std::size_t size);
    result_e step(std::size_t room, const char*& out, std::size_t& count);
    void end_message();

    std::unique_ptr<state> state_;
    int window_bits_;
    bool forget_;
};

/// Deflates the messages of one connection. Distinct objects: thread safe.
class deflater {
public:
    /// Messages below this many bytes are not worth it.
    static constexpr std::size_t threshold = 64;

    deflater(const deflate_parameters& parameters, int level);
    ~deflater();
    deflater(const deflater&) = delete;
    deflater& operator=(const deflater&) = delete;

    /// The deflated message, valid until the next call; empty if it cannot be deflated (out of
    /// memory, or a window that zlib does not have), then it goes out as it is.
    std::string_view deflate(std::string_view message);

private:
    struct state;
    std::unique_ptr<state> state_;
    std::string out_;
    int window_bits_;
    int level_;
    bool forget_;
};

}  // namespace wspool::protocol
