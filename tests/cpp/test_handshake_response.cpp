#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <websocketpp/http/constants.hpp>

#include "wspool/detail/handshake_messages.hpp"

using wspool::detail::handshake_response;

namespace {

struct parsed_t {
    bool failed = false;
    bool bound = false;
    bool ready = false;
    int status = 0;
    std::string reason;
    std::string body;
    std::size_t headers = 0;
    std::size_t used = 0;
};

parsed_t parse(const std::vector<std::string>& pieces, bool end = false) {
    handshake_response response;
    parsed_t out;
    try {
        for (const std::string& piece : pieces) {
            if (response.headers_ready()) break;
            const std::vector<char> exact(piece.begin(), piece.end());
            out.used += response.consume(exact.data(), exact.size());
        }
        if (end) response.end_of_stream();
    } catch (const websocketpp::http::exception&) {
        out.failed = true;
        out.bound = response.failed_bound();
        CHECK_FALSE(response.error().empty());
        return out;
    }
    out.ready = response.headers_ready();
    out.status = response.status();
    out.reason = response.reason_phrase();
    out.body = response.body();
    out.headers = response.fields().size();
    return out;
}

}  // namespace

TEST_CASE("handshake_response.consume: answers cut at every position give the same") {
    // TCP may cut anywhere; what follows a 101 belongs to the frames.
    struct row_t {
        std::string text;
        int status;
        std::string reason;
        std::string body;
        std::size_t headers;
        std::size_t behind;  // bytes of `text` that are not the answer's
        bool end = false;    // the stream's end completes it
    };
    const std::vector<row_t> rows = {
        {"HTTP/1.1 101 Switching Protocols\r\nA: b\r\nC:d\r\n\r\n\x81\x01x", 101,
         "Switching Protocols", "", 2, 3},
        {"HTTP/1.1 101\r\nA: b\r\n\r\n", 101, "", "", 1, 0},
        {"HTTP/1.1 101 \r\n\r\n", 101, "", "", 0, 0},
        {"HTTP/1.1 101 x\nA: b\n\n", 101, "x", "", 1, 0},
        {"HTTP/1.1 101 x\nA: b\n\r\n", 101, "x", "", 1, 0},
        {"HTTP/1.1 101 x\r\nA: b\r\n\n", 101, "x", "", 1, 0},
        {"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 101 ok\r\nA: "
         "b\r\n\r\n",
         101, "ok", "", 1, 0},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", 404, "Not Found", "hello", 1,
         0},
        {"HTTP/1.1 204 No\r\nA: b\r\n\r\n", 204, "No", "", 1, 0},
        {"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 403, "No", "", 1, 0},
        {"HTTP/1.1 500 E\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n "
         "world\r\n0\r\n\r\n",
         500, "E", "hello world", 1, 0},
        {"HTTP/1.1 503 Busy\r\n\r\nuntil the end", 503, "Busy", "until the end", 0, 0, true},
        {"HTTP/1.1 404 x\r\nContent-Length: 99\r\n\r\nshort", 404, "x", "short", 1, 0, true},
    };
    for (const row_t& row : rows) {
        for (std::size_t at = 0; at <= row.text.size(); ++at) {
            INFO(row.text << " cut at " << at);
            const parsed_t got = parse({row.text.substr(0, at), row.text.substr(at)}, row.end);
            CHECK_FALSE(got.failed);
            CHECK(got.ready);
            CHECK(got.status == row.status);
            CHECK(got.reason == row.reason);
            CHECK(got.body == row.body);
            CHECK(got.headers == row.headers);
            if (row.behind != 0 && at == 0) CHECK(got.used == row.text.size() - row.behind);
        }
    }
}

TEST_CASE("handshake_response.consume: what is not HTTP fails, whole and byte by byte") {
    // Fails at once instead of waiting for the deadline.
    const std::string crlf = "\r\n\r\n";
    const std::vector<std::string> rows = {"SSH-2.0-x\r\n",
                                           "\r\n\r\n",
                                           "\n",
                                           "HTTP/1.0 101 x" + crlf,
                                           "HTTP/2 101 x" + crlf,
                                           "HTTP/1.1 99 x" + crlf,
                                           "HTTP/1.1 1011 x" + crlf,
                                           "HTTP/1.1  101 x" + crlf,
                                           "HTTP/1.1 abc x" + crlf,
                                           "HTTP/1.1" + crlf,
                                           "http/1.1 101 x" + crlf,
                                           "HTTP/1.1 101 x\r\nno colon" + crlf,
                                           "HTTP/1.1 101 x\r\n: v" + crlf,
                                           "HTTP/1.1 101 x\r\na b: v" + crlf,
                                           "HTTP/1.1 101 x\r\nA : v" + crlf,
                                           "HTTP/1.1 101 x\r\nA: v\r\n folded" + crlf,
                                           "HTTP/1.1 101 x\r\nA: v\x01w" + crlf,
                                           std::string("HTTP/1.1 101 x\r\nA: v\0w\r\n\r\n", 26),
                                           "HTTP/1.1 101 x\r\nA: v\rw" + crlf,
                                           "HTTP/1.1 404 x\r\nContent-Length: -1" + crlf,
                                           "HTTP/1.1 404 x\r\nContent-Length: 5x" + crlf,
                                           "\x16\x03\x01\x02\x03\x04"};
    for (const std::string& text : rows) {
        INFO(text);
        CHECK(parse({text}).failed);
        std::vector<std::string> bytes;
        for (const char byte : text) bytes.emplace_back(1, byte);
        CHECK(parse(bytes).failed);
    }
}

TEST_CASE("handshake_response.consume: heads above the bounds fail, and say that it was a bound") {
    // A peer must not fill our memory.
    const std::string line = "HTTP/1.1 101 x\r\n";
    std::string many = line;
    for (int i = 0; i < 257; ++i) many += "A: b\r\n";
    CHECK(parse({many + "\r\n"}).bound);
    CHECK(parse({line + "A: " + std::string(65 * 1024, 'x')}).bound);
    CHECK(parse({std::string("HTTP/1.1 101 ") + std::string(70 * 1024, 'x')}).bound);
    std::string interim;
    for (int i = 0; i < 3000; ++i) interim += "HTTP/1.1 103 Hints\r\n\r\n";
    CHECK(parse({interim}).bound);
    CHECK(parse({interim.substr(0, 40'000), interim.substr(40'000)}).bound);
    CHECK_FALSE(parse({line + "A: " + std::string(60 * 1024, 'x') + "\r\n\r\n"}).failed);
}

TEST_CASE("handshake_response.consume: a refusal's body is cut at its bound") {
    // Only the beginning is worth keeping.
    const std::string big(200 * 1024, 'x');
    for (const std::string head :
         {"HTTP/1.1 500 E\r\n\r\n", "HTTP/1.1 500 E\r\nContent-Length: 204800\r\n\r\n"}) {
        const parsed_t got = parse({head, big.substr(0, 1000), big.substr(1000)});
        CHECK(got.ready);
        CHECK(got.body.size() == handshake_response::max_body_bytes);
    }
    const parsed_t chunked =
        parse({"HTTP/1.1 500 E\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n" + big});
    CHECK(chunked.ready);
    CHECK(parse({"HTTP/1.1 500 E\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(2000, '1')})
              .ready);
}
