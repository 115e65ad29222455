// The limit of echoing: Boost.Beast's asynchronous client, one message at a time.
//
// usage: beast_echo HOST PORT CA_FILE|- COUNT SIZE VERIFY(0|1)
//
// Prints what the Python clients print. VERIFY hashes every reply as tally.py does.
#include <openssl/evp.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

namespace asio = boost::asio;
namespace beast = boost::beast;
using beast::error_code;
using tcp = asio::ip::tcp;
using steady = std::chrono::steady_clock;

namespace {

// As feeds.py: the same each time, or beginning with its number.
std::string filler(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
    return text;
}

std::string outgoing(std::size_t size, std::size_t number) {
    char head[16];
    std::snprintf(head, sizeof head, "%08zu", number);
    return head + filler(size).substr(8);
}

double cpu(const timeval& value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
}

void check(const error_code& error) {
    if (error) throw beast::system_error(error);
}

template <class Stream>
class echo_t {
public:
    echo_t(Stream& ws, std::size_t count, std::size_t size, bool verify)
        : ws_(ws), count_(count), size_(size), verify_(verify), message_(filler(size)) {
        times_.reserve(count);
        EVP_DigestInit_ex(hash_, EVP_sha256(), nullptr);
    }

    void send() {
        if (verify_) message_ = outgoing(size_, times_.size());
        begun_ = steady::now();
        ws_.async_write(asio::buffer(message_), [this](error_code error, std::size_t) {
            check(error);
            ws_.async_read(buffer_, [this](error_code failed, std::size_t) {
                check(failed);
                received();
            });
        });
    }

    void print(double wall, const rusage& before, const rusage& after) {
        std::sort(times_.begin(), times_.end());
        unsigned char raw[32];
        EVP_DigestFinal_ex(hash_, raw, nullptr);
        std::string digest;
        for (unsigned char byte : raw) {
            char hex[3];
            std::snprintf(hex, sizeof hex, "%02x", byte);
            digest += hex;
        }
        std::printf(
            "{\"wall\": %.9f, \"user\": %.6f, \"system\": %.6f, \"count\": %zu, \"bytes\": %zu, "
            "\"hash\": \"%s\", \"p50\": %.3f, \"p99\": %.3f}\n",
            wall, cpu(after.ru_utime) - cpu(before.ru_utime),
            cpu(after.ru_stime) - cpu(before.ru_stime), times_.size(), bytes_, digest.c_str(),
            times_[times_.size() / 2], times_[times_.size() * 99 / 100]);
    }

private:
    void received() {
        times_.push_back(std::chrono::duration<double, std::micro>(steady::now() - begun_).count());
        bytes_ += buffer_.size();
        if (verify_) {
            const std::uint64_t length = buffer_.size();
            EVP_DigestUpdate(hash_, ws_.got_text() ? "T" : "B", 1);
            EVP_DigestUpdate(hash_, &length, sizeof length);
            EVP_DigestUpdate(hash_, buffer_.data().data(), buffer_.size());
        }
        buffer_.consume(buffer_.size());
        if (times_.size() < count_) send();
    }

    Stream& ws_;
    std::size_t count_, size_, bytes_ = 0;
    bool verify_;
    std::string message_;
    beast::flat_buffer buffer_;
    std::vector<double> times_;
    steady::time_point begun_;
    EVP_MD_CTX* hash_ = EVP_MD_CTX_new();
};

template <class Stream>
void run(asio::io_context& loop, Stream& ws, char** argv) {
    ws.binary(true);
    ws.handshake(std::string(argv[1]) + ":" + argv[2], "/");
    echo_t<Stream> echo(ws, std::stoul(argv[4]), std::stoul(argv[5]), argv[6][0] == '1');
    rusage before{};
    rusage after{};
    getrusage(RUSAGE_SELF, &before);
    const auto begun = steady::now();
    echo.send();
    loop.run();
    const double wall = std::chrono::duration<double>(steady::now() - begun).count();
    getrusage(RUSAGE_SELF, &after);
    echo.print(wall, before, after);
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 7) {
        std::cerr << "usage: beast_echo HOST PORT CA_FILE|- COUNT SIZE VERIFY\n";
        return 2;
    }
    asio::io_context loop(1);
    const tcp::endpoint server(asio::ip::make_address(argv[1]),
                               static_cast<unsigned short>(std::stoul(argv[2])));
    const std::string ca_file = argv[3];
    if (ca_file == "-") {
        beast::websocket::stream<beast::tcp_stream> ws(loop);
        beast::get_lowest_layer(ws).connect(server);
        beast::get_lowest_layer(ws).socket().set_option(tcp::no_delay(true));
        run(loop, ws, argv);
    } else {
        asio::ssl::context context(asio::ssl::context::tlsv13_client);
        context.load_verify_file(ca_file);
        context.set_verify_mode(asio::ssl::verify_peer);
        beast::websocket::stream<beast::ssl_stream<beast::tcp_stream>> ws(loop, context);
        beast::get_lowest_layer(ws).connect(server);
        beast::get_lowest_layer(ws).socket().set_option(tcp::no_delay(true));
        ws.next_layer().handshake(asio::ssl::stream_base::client);
        run(loop, ws, argv);
    }
    return 0;
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
}
