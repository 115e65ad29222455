#include "support/raw_server.hpp"

#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/handshake.hpp"
#include "support/frames.hpp"

namespace wspool_test {

namespace {

int listen_on_loopback(std::uint16_t& port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(fd, 64) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::runtime_error("cannot listen");
    }
    port = ntohs(address.sin_port);
    return fd;
}

}  // namespace

raw_peer::raw_peer(int descriptor) : descriptor_(descriptor) {
    const timeval bound{20, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
}

raw_peer::~raw_peer() { close(); }

void raw_peer::close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
}

void raw_peer::reset() {
    const linger at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

bool raw_peer::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

bool raw_peer::fill(std::size_t size) {
    char buffer[65536];
    while (input_.size() < size) {
        const ssize_t got = ::recv(descriptor_, buffer, sizeof buffer, 0);
        if (got <= 0) return false;
        input_.append(buffer, static_cast<std::size_t>(got));
    }
    return true;
}

std::string raw_peer::read_request() {
    std::size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
        if (!fill(input_.size() + 1)) return {};
    }
    std::string head = input_.substr(0, end + 4);
    input_.erase(0, end + 4);
    return head;
}

bool raw_peer::upgrade(const std::string& extra_headers) {
    const std::string head = read_request();
    const std::string name = "Sec-WebSocket-Key: ";
    const std::size_t at = head.find(name);
    if (at == std::string::npos) return false;
    const std::size_t begin = at + name.size();
    const std::string key = head.substr(begin, head.find("\r\n", begin) - begin);
    return send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        wspool::protocol::accept_for(key) + "\r\n" + extra_headers + "\r\n");
}

bool raw_peer::read_frame(received_frame_t& out) {
    if (!fill(2)) return false;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(input_[i]); };
    const bool masked = (byte(1) & 0x80U) != 0;
    std::uint64_t length = byte(1) & 0x7FU;
    const std::size_t length_bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    const std::size_t header = 2 + length_bytes + (masked ? 4 : 0);
    if (!fill(header)) return false;
    if (length_bytes != 0) length = 0;
    for (std::size_t i = 0; i < length_bytes; ++i) length = length << 8 | byte(2 + i);
    if (!fill(header + length)) return false;
    out.opcode = byte(0) & 0x0FU;
    out.final = (byte(0) & 0x80U) != 0;
    out.masked = masked;
    out.payload = input_.substr(header, length);
    for (std::size_t i = 0; masked && i < out.payload.size(); ++i) {
        out.payload[i] = static_cast<char>(out.payload[i] ^ input_[header - 4 + i % 4]);
    }
    input_.erase(0, header + length);
    return true;
}

bool raw_peer::read_until(unsigned opcode, received_frame_t& out) {
    while (read_frame(out)) {
        if (out.opcode == opcode) return true;
    }
    return false;
}

bool raw_peer::read_eof() {
    char buffer[65536];
    while (true) {
        const ssize_t got = ::recv(descriptor_, buffer, sizeof buffer, 0);
        if (got == 0) return true;
        if (got < 0) return false;
    }
}

void raw_peer::end_in_order() {
    received_frame_t frame;
    if (read_until(8, frame)) send(with_opcode(8, frame.payload));
    ::shutdown(descriptor_, SHUT_WR);
    read_eof();
}

void raw_peer::close_with(unsigned code, std::string_view reason) {
    received_frame_t frame;
    send(wspool_test::close(code, reason));
    read_until(8, frame);
    ::shutdown(descriptor_, SHUT_WR);
    read_eof();
}

raw_server::raw_server(script_t script) : listener_(listen_on_loopback(port_)) {
    thread_ = std::thread([this, run = std::move(script)] { serve(run); });
}

raw_server::raw_server(numbered_script_t script) : listener_(listen_on_loopback(port_)) {
    thread_ = std::thread([this, run = std::move(script)] { serve_all(run); });
}

raw_server::~raw_server() {
    stopping_ = true;
    thread_.join();
    ::close(listener_);
}

int raw_server::accept() {
    pollfd waiting{listener_, POLLIN, 0};
    if (::poll(&waiting, 1, 20) <= 0) return -1;
    const int accepted = ::accept(listener_, nullptr, nullptr);
    if (accepted >= 0) ++count_;
    return accepted;
}

void raw_server::serve(const script_t& script) {
    while (!stopping_) {
        const int accepted = accept();
        if (accepted < 0) continue;
        raw_peer peer(accepted);
        script(peer);
    }
}

void raw_server::serve_all(const numbered_script_t& script) {
    std::vector<std::thread> threads;
    while (!stopping_) {
        const int accepted = accept();
        if (accepted < 0) continue;
        threads.emplace_back([accepted, &script, number = count_ - 1] {
            raw_peer peer(accepted);
            script(peer, number);
        });
    }
    for (std::thread& thread : threads) thread.join();
}

std::string raw_server::uri(const std::string& scheme) const {
    return scheme + "://127.0.0.1:" + std::to_string(port_);
}

std::uint16_t refused_port() {
    std::uint16_t port = 0;
    ::close(listen_on_loopback(port));
    return port;
}

}  // namespace wspool_test
