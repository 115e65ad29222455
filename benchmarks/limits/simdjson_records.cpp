/*
 * The limit of making columns of JSON: recv(), a walk over the frames, and simdjson On-Demand,
 * which picks the members in the order in which they come and looks at nothing behind the last.
 * Values go into plain arrays of 4,096 rows that are used again.
 *
 * usage: simdjson_records HOST PORT CA_FILE|- CONNECTIONS trades|books VERIFY(0|1)
 *
 * Opens the connections, sends "go" on each, receives until all have been closed, and prints what
 * the Python clients print. VERIFY prints the rows on standard error: the digest is Python's.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <simdjson.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t capacity = 512 * 1024;
constexpr std::size_t rows = 4096;

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

/// Few different texts, as numbers.
class dictionary {
public:
    std::int32_t number_of(std::string_view text) {
        std::size_t place = hash(text) & mask;
        for (; slots_[place] >= 0; place = (place + 1) & mask)
            if (texts_[static_cast<std::size_t>(slots_[place])] == text) return slots_[place];
        slots_[place] = static_cast<std::int32_t>(texts_.size());
        texts_.emplace_back(text);
        return slots_[place];
    }
    const std::string& text(std::int32_t number) const {
        return texts_[static_cast<std::size_t>(number)];
    }

private:
    static constexpr std::size_t mask = 1023;
    static std::size_t hash(std::string_view text) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data(), text.size() < 8 ? text.size() : 8);
        return static_cast<std::size_t>((word * 0x9E3779B97F4A7C15U) >> 40U);
    }
    std::vector<std::int32_t> slots_ = std::vector<std::int32_t>(mask + 1, -1);
    std::vector<std::string> texts_;
};

dictionary symbols;
simdjson::ondemand::parser parser;
bool is_verifying;
bool is_trades;
std::size_t row;
std::int32_t symbol[rows];
double price[rows];
double quantity[rows];
std::int64_t when[rows];
std::int64_t number[rows];
bool maker[rows];

void take(const char* text, std::size_t size, std::size_t readable) {
    auto document = parser.iterate(text, size, readable);
    simdjson::ondemand::object data = document["data"].get_object();
    if (is_trades) {
        number[row] = data["a"].get_int64();
        symbol[row] = symbols.number_of(data["s"].get_string());
        price[row] = data["p"].get_double_in_string();
        quantity[row] = data["q"].get_double_in_string();
        when[row] = data["T"].get_int64();
        maker[row] = data["m"].get_bool();
    } else {
        when[row] = data["E"].get_int64();
        symbol[row] = symbols.number_of(data["s"].get_string());
        number[row] = data["u"].get_int64();
    }
    if (is_verifying) {
        const char* const name = symbols.text(symbol[row]).c_str();
        if (is_trades)
            std::fprintf(stderr, "%s %.17g %.17g %lld %lld %d\n", name, price[row], quantity[row],
                         static_cast<long long>(when[row]), static_cast<long long>(number[row]),
                         maker[row]);
        else
            std::fprintf(stderr, "%s %lld %lld\n", name, static_cast<long long>(number[row]),
                         static_cast<long long>(when[row]));
    }
    row = (row + 1) % rows;
}

struct connection {
    int fd = -1;
    std::unique_ptr<char[]> buffer{new char[capacity + simdjson::SIMDJSON_PADDING]};
    std::size_t have = 0;
    std::uint64_t count = 0;
    bool ended = false;

    void open(const char* host, int port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        inet_pton(AF_INET, host, &address.sin_addr);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            fail("connect");
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const std::string request = std::string("GET / HTTP/1.1\r\nHost: ") + host +
                                    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                    "Sec-WebSocket-Version: 13\r\n\r\n";
        if (write(fd, request.data(), request.size()) < 0) fail("write");
        std::size_t got = 0;
        while (memmem(buffer.get(), got, "\r\n\r\n", 4) == nullptr) {
            const ssize_t more = recv(fd, buffer.get() + got, capacity - got, 0);
            if (more <= 0) fail("handshake");
            got += static_cast<std::size_t>(more);
        }
    }

    void receive() {
        const ssize_t got = recv(fd, buffer.get() + have, capacity - have, 0);
        if (got <= 0) {
            ended = true;
            return;
        }
        have += static_cast<std::size_t>(got);
        walk();
        if (ended) {
            const unsigned char reply[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8};
            if (write(fd, reply, sizeof reply) < 0) fail("write");
        }
    }

private:
    void walk() {
        std::size_t at = 0;
        while (have - at >= 2) {
            const auto* const header = reinterpret_cast<const unsigned char*>(buffer.get() + at);
            std::uint64_t length = header[1];
            std::size_t begin = 2;
            if (length == 126) begin = 4;
            if (length == 127) begin = 10;
            if (have - at < begin) break;
            if (length == 126) length = static_cast<std::uint64_t>(header[2] << 8U | header[3]);
            if (begin == 10) {
                std::memcpy(&length, header + 2, 8);
                length = __builtin_bswap64(length);
            }
            if (have - at - begin < length) break;
            if ((header[0] & 0x0FU) == 8) {
                ended = true;
                return;
            }
            take(buffer.get() + at + begin, length,
                 capacity + simdjson::SIMDJSON_PADDING - at - begin);
            ++count;
            at += begin + length;
        }
        have -= at;
        std::memmove(buffer.get(), buffer.get() + at, have);
    }
};

double seconds(timeval value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
}

double now() {
    timespec value{};
    clock_gettime(CLOCK_MONOTONIC, &value);
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_nsec) / 1e9;
}

void receive_all(std::vector<connection>& connections) {
    if (connections.size() == 1) {
        while (!connections[0].ended) connections[0].receive();
        return;
    }
    std::vector<pollfd> polled;
    for (const auto& one : connections) polled.push_back({one.fd, POLLIN, 0});
    for (std::size_t left = connections.size(); left > 0;) {
        if (poll(polled.data(), polled.size(), -1) < 0) fail("poll");
        for (std::size_t i = 0; i < polled.size(); ++i) {
            if (polled[i].revents == 0) continue;
            connections[i].receive();
            if (!connections[i].ended) continue;
            polled[i].fd = -1;
            --left;
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) {
        std::fputs("usage: simdjson_records HOST PORT - CONNECTIONS trades|books VERIFY\n", stderr);
        return 2;
    }
    is_trades = std::strcmp(argv[5], "trades") == 0;
    is_verifying = std::atoi(argv[6]) != 0;
    std::vector<connection> connections(static_cast<std::size_t>(std::atoi(argv[4])));
    for (auto& one : connections) one.open(argv[1], std::atoi(argv[2]));
    if (parser.allocate(64 * 1024)) fail("memory");

    rusage before{};
    rusage after{};
    getrusage(RUSAGE_SELF, &before);
    const double begun = now();
    const unsigned char go[] = {0x81, 0x82, 0, 0, 0, 0, 'g', 'o'};
    for (auto& one : connections)
        if (write(one.fd, go, sizeof go) < 0) fail("write");
    try {
        receive_all(connections);
    } catch (const simdjson::simdjson_error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    const double wall = now() - begun;
    getrusage(RUSAGE_SELF, &after);
    std::uint64_t count = 0;
    for (const auto& one : connections) count += one.count;
    std::printf("{\"wall\": %.9f, \"user\": %.6f, \"system\": %.6f, \"count\": %llu}\n", wall,
                seconds(after.ru_utime) - seconds(before.ru_utime),
                seconds(after.ru_stime) - seconds(before.ru_stime),
                static_cast<unsigned long long>(count));
}
