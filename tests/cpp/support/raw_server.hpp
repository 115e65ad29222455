#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace wspool_test {

/// A frame as the server got it, unmasked.
struct received_frame_t {
    unsigned opcode = 0;
    bool final = true;
    bool masked = false;
    std::string payload;
};

/// One accepted socket, blocking, each call bounded by 20 s.
///
/// Thread safety: its server's thread only.
class raw_peer {
public:
    explicit raw_peer(int descriptor);
    ~raw_peer();
    raw_peer(const raw_peer&) = delete;
    raw_peer& operator=(const raw_peer&) = delete;

    /// All or nothing; false if the client has gone.
    bool send(std::string_view bytes);
    /// Up to the blank line; empty at the end of the stream.
    std::string read_request();
    /// Reads the request and answers 101; false at the end of the stream.
    bool upgrade(const std::string& extra_headers = {});
    /// The next frame; false at the end of the stream or after 20 s.
    bool read_frame(received_frame_t& out);
    /// Skips to the frame of that opcode.
    bool read_until(unsigned opcode, received_frame_t& out);
    /// True if the client closes its side in time; skips what comes before.
    bool read_eof();
    /// Answers the client's close frame, and ends as a server does.
    void end_in_order();
    /// Closes first, and ends when the client has answered.
    void close_with(unsigned code, std::string_view reason = {});
    /// Ends with a TCP reset.
    void reset();
    void close();
    [[nodiscard]] int descriptor() const { return descriptor_; }

private:
    bool fill(std::size_t size);
    int descriptor_;
    std::string input_;
};

/// A server that misbehaves as its script says: one thread, one connection after the other; or
/// each on a thread of its own, and the script told how many came before.
class raw_server {
public:
    using script_t = std::function<void(raw_peer&)>;
    using numbered_script_t = std::function<void(raw_peer&, int)>;
    explicit raw_server(script_t script);
    explicit raw_server(numbered_script_t script);
    /// Waits for the scripts to end.
    ~raw_server();
    raw_server(const raw_server&) = delete;
    raw_server& operator=(const raw_server&) = delete;

    [[nodiscard]] std::string uri(const std::string& scheme = "ws") const;
    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// Connections that were accepted.
    [[nodiscard]] int count() const { return count_; }

private:
    void serve(const script_t& script);
    void serve_all(const numbered_script_t& script);
    /// The next connection; below 0: none for now.
    int accept();
    std::uint16_t port_ = 0;  // set by what makes the next member
    int listener_ = -1;
    std::atomic<bool> stopping_{false};
    std::atomic<int> count_{0};
    std::thread thread_;
};

/// A loopback port that nobody listens on.
std::uint16_t refused_port();

}  // namespace wspool_test
