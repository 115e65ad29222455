/*
 * The limit of making columns of JSON: recv(), a walk over the frames, and simdjson On-Demand,
 * which is asked for the members in the order in which they mostly come, and looks at nothing
 * behind the last. Values go into plain arrays of 4,096 rows that are used again.
 *
 * usage: simdjson_records HOST PORT CONNECTIONS trades|books|captures VERIFY(0|1)
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

#include <algorithm>
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

constexpr std::size_t at_once = 512 * 1024;
constexpr std::size_t capacity = 1536 * 1024;  // one capture is of 709 KB
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

/// The columns of a kind; of each kind only some.
struct columns {
    const char* name;
    std::size_t row = 0;
    std::int32_t symbol[rows];
    double first[rows];
    double second[rows];
    std::int64_t when[rows];
    std::int64_t number[rows];
    bool flag[rows];

    explicit columns(const char* kind) : name(kind) {}
    void finish_row() {
        if (is_verifying)
            std::fprintf(stderr, "%s %s %.17g %.17g %lld %lld %d\n", name,
                         symbols.text(symbol[row]).c_str(), first[row], second[row],
                         static_cast<long long>(when[row]), static_cast<long long>(number[row]),
                         flag[row]);
        row = (row + 1) % rows;
    }
};

columns trades{"trades"};
columns books{"books"};
columns tickers{"tickers"};
columns matches{"matches"};

using simdjson::ondemand::object;

void take_trade(object data) {
    auto& to = trades;
    to.number[to.row] = data["a"].get_int64();
    to.symbol[to.row] = symbols.number_of(data["s"].get_string());
    to.first[to.row] = data["p"].get_double_in_string();
    to.second[to.row] = data["q"].get_double_in_string();
    to.when[to.row] = data["T"].get_int64();
    to.flag[to.row] = data["m"].get_bool();
    to.finish_row();
}

void take_book(object data) {
    auto& to = books;
    to.when[to.row] = data["T"].get_int64();
    to.symbol[to.row] = symbols.number_of(data["s"].get_string());
    to.number[to.row] = data["u"].get_int64();
    to.finish_row();
}

void take_ticker(object data) {
    auto& to = tickers;
    to.symbol[to.row] = symbols.number_of(data["s"].get_string());
    to.first[to.row] = data["b"].get_double_in_string();
    to.second[to.row] = data["a"].get_double_in_string();
    to.when[to.row] = data["T"].get_int64();
    to.finish_row();
}

/// Nanoseconds of "2021-07-22T22:36:07.865123Z"; no other form comes.
std::int64_t iso_ns(std::string_view text) {
    const auto digits = [text](std::size_t from, std::size_t count) {
        std::int64_t value = 0;
        for (std::size_t i = from; i < from + count; ++i) value = value * 10 + (text[i] - '0');
        return value;
    };
    // The days of a year that begins in March (Howard Hinnant's days_from_civil).
    const std::int64_t month = digits(5, 2);
    const std::int64_t year = digits(0, 4) - (month <= 2 ? 1 : 0);
    const std::int64_t days = year * 365 + year / 4 - year / 100 + year / 400 +
                              (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + digits(8, 2) - 1 -
                              719468;
    const std::int64_t seconds =
        ((days * 24 + digits(11, 2)) * 60 + digits(14, 2)) * 60 + digits(17, 2);
    return (seconds * 1'000'000 + digits(20, 6)) * 1000;
}

void take_match(object data) {
    auto& to = matches;
    to.first[to.row] = data["price"].get_double_in_string();
    to.second[to.row] = data["size"].get_double_in_string();
    to.symbol[to.row] = symbols.number_of(data["product_id"].get_string());
    to.when[to.row] = iso_ns(data["time"].get_string());
    to.finish_row();
}

/// Whatever it is: once over the members of the message, to what says its kind.
void take_any(simdjson::ondemand::document& document) {
    if (document.type() != simdjson::ondemand::json_type::object) return;
    for (auto field : document.get_object()) {
        const simdjson::ondemand::raw_json_string key = field.key();
        if (key == "data") {
            simdjson::ondemand::value value = field.value();
            if (value.type() != simdjson::ondemand::json_type::object) return;
            object data = value.get_object();
            std::string_view event;
            if (data["e"].get(event) != simdjson::SUCCESS) return;
            if (event == "bookTicker") take_ticker(data);
            if (event == "aggTrade") take_trade(data);
            return;
        }
        if (key == "type" && field.value().get_string().value() == "match") {
            document.rewind();
            take_match(document.get_object());
            return;
        }
    }
}

enum class schema { trades, books, captures } wanted;

void take(const char* text, std::size_t size, std::size_t readable) {
    auto document = parser.iterate(text, size, readable);
    if (wanted == schema::captures)
        take_any(document.value());
    else if (wanted == schema::trades)
        take_trade(document["data"].get_object());
    else
        take_book(document["data"].get_object());
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
        const ssize_t got = recv(fd, buffer.get() + have, std::min(at_once, capacity - have), 0);
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
    if (argc != 6) {
        std::fputs("usage: simdjson_records HOST PORT CONNECTIONS SCHEMA VERIFY\n", stderr);
        return 2;
    }
    const std::string_view name = argv[4];
    wanted = name == "trades" ? schema::trades : name == "books" ? schema::books : schema::captures;
    is_verifying = std::atoi(argv[5]) != 0;
    std::vector<connection> connections(static_cast<std::size_t>(std::atoi(argv[3])));
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
