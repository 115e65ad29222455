#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "frame.hpp"
#include "net.hpp"
#include "record_book.hpp"
#include "replay_script.hpp"
#include "transport.hpp"
#include "utf8.hpp"
#include "wspool/testing/loopback_server.hpp"

namespace wspool::testing {

/// What all sessions of a server share; outlives them.
struct session_context {
    const loopback_options_t& options;
    const replay_script* script;  // null unless replaying
    record_book& book;
    std::vector<char>& read_buffer;  // one for all: its content never outlives a handler
    std::function<void(std::size_t)> on_finished;
};

/// One client's connection, from accept to the socket's end.
///
/// Thread safety: the server's thread only.
class session : public std::enable_shared_from_this<session> {
public:
    session(session_context& shared, asio::ip::tcp::socket socket, SSL_CTX* tls);

    /// Of the connection's record.
    [[nodiscard]] std::size_t index() const noexcept { return index_; }
    void start();
    void send_ping(std::string_view payload);
    void close(std::uint16_t code, std::string_view reason);
    void abort();
    void finish(std::string error);

private:
    enum class phase { tls, request, open, draining, finished };

    void arm_read();
    void arm_write();
    void post(void (session::*step)());
    template <typename Step>
    void guarded(Step&& step);

    // receiving (session.cpp)
    void on_readable();
    [[nodiscard]] bool shake_hands();
    void consume(char* data, std::size_t size);
    [[nodiscard]] std::size_t parse(char* data, std::size_t size);
    [[nodiscard]] std::size_t take_request(std::string_view bytes);
    void take_frame(const client_frame& frame);
    void take_data(const client_frame& frame);
    void take_close(std::string_view payload);
    void on_lost(io_status status);
    void fail(std::uint16_t code, const char* reason);
    void queue_close(std::uint16_t code, std::string_view reason);
    [[nodiscard]] bool backlogged() const noexcept;

    // sending (session_send.cpp)
    enum class progress { more, idle, blocked, lost, yielded };
    void begin_replay();
    void pump();
    void pump_again();
    [[nodiscard]] progress send_some(std::size_t& budget);
    [[nodiscard]] progress send_own(std::size_t& budget);
    [[nodiscard]] progress send_script(std::size_t& budget);
    [[nodiscard]] progress outcome(io_status status) const noexcept;
    [[nodiscard]] std::uint64_t due_offset();
    void count_sent();
    void settle();

    session_context& shared_;
    transport transport_;
    asio::steady_timer timer_;
    const std::size_t index_;
    phase phase_;
    counters counters_;
    std::string error_;

    std::string pending_;  // received bytes of a frame (or request) that isn't complete
    bool in_message_ = false;
    bool text_ = false;
    std::uint64_t message_size_ = 0;
    utf8_checker utf8_;

    std::string out_;  // whole frames (or a response) of this session's own, sent in order
    std::size_t out_sent_ = 0;
    counters echoed_;  // what out_ will have sent when it is empty

    bool replaying_ = false;
    std::uint64_t offset_ = 0;     // in the script
    std::uint64_t next_ping_ = 0;  // in messages
    std::uint64_t record_ = 0;     // messages that have had a TLS record of their own
    std::chrono::steady_clock::time_point replay_start_;

    bool close_sent_ = false;  // queued at least
    bool close_received_ = false;
    bool ending_ = false;  // failed or refused: once all is sent the connection ends
    bool read_paused_ = false;
    bool write_armed_ = false;
    bool timer_armed_ = false;
    bool pump_posted_ = false;
};

template <typename Step>
void session::guarded(Step&& step) {
    if (phase_ == phase::finished) return;
    try {
        step();
    } catch (const std::exception& error) {
        // Out of memory, in effect: it costs this connection, not the server.
        finish(error.what());
    }
}

}  // namespace wspool::testing
