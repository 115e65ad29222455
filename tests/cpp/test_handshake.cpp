#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <string>

#include "protocol/handshake.hpp"

using namespace wspool;
using namespace wspool::protocol;
using wspool::detail::handshake_response;
using wspool::detail::header_list_t;

namespace {

const std::string key = "dGhlIHNhbXBsZSBub25jZQ==";
const std::string accept_value = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

options_t plain() {
    options_t options;
    options.deflate.enabled = false;
    return options;
}

error_ptr answer(const std::string& head, const options_t& options, negotiated& out) {
    handshake_response response;
    const std::string text = head + "\r\n";
    response.consume(text.data(), text.size());
    return check_response(response, options, key, out);
}

error_e refusal(const std::string& head, const options_t& options = plain()) {
    negotiated out;
    const auto error = answer(head, options, out);
    REQUIRE(error != nullptr);
    return error->Code();
}

const std::string line = "HTTP/1.1 101 Switching Protocols\r\n";
const std::string upgrade = "Upgrade: websocket\r\n";
const std::string connection = "Connection: Upgrade\r\n";
const std::string accepted = "Sec-WebSocket-Accept: " + accept_value + "\r\n";

}  // namespace

TEST_CASE("accept_for: the example of RFC 6455 section 1.3") {
    // The one published pair.
    CHECK(accept_for(key) == accept_value);
}

TEST_CASE("make_key: 16 bytes in base64, each time others") {
    // RFC 6455 section 4.1, item 7.
    std::set<std::string> keys;
    for (int i = 0; i < 100; ++i) {
        keys.insert(make_key());
        CHECK(keys.begin()->size() == 24);
    }
    CHECK(keys.size() == 100);
}

TEST_CASE("request_text: fields in order, caller's after ours, Host with brackets and port") {
    // Some servers are particular about order; websocketpp loses the brackets.
    uri_t uri;
    std::string why;
    REQUIRE(parse_uri("ws://us:pw@[::1]:8080/feed?a=b", uri, why));
    options_t options = plain();
    options.origin = "https://example.org";
    options.subprotocols = {"v2", "v1"};
    options.additional_headers = {{"X-A", "1"}, {"x-a", "2"}};
    options.user_agent = "me/1";
    CHECK(request_text(uri, request_fields(uri, options, key)) ==
          "GET /feed?a=b HTTP/1.1\r\n"
          "Host: [::1]:8080\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Key: " +
              key +
              "\r\n"
              "Sec-WebSocket-Version: 13\r\n"
              "Origin: https://example.org\r\n"
              "Sec-WebSocket-Protocol: v2, v1\r\n"
              "Authorization: Basic dXM6cHc=\r\n"
              "User-Agent: me/1\r\n"
              "X-A: 1\r\n"
              "x-a: 2\r\n"
              "\r\n");
}

TEST_CASE("request_fields: the caller may override Host, User-Agent and Authorization") {
    // Once each: two would contradict each other.
    uri_t uri;
    std::string why;
    REQUIRE(parse_uri("ws://us:pw@h/", uri, why));
    options_t options = plain();
    options.additional_headers = {
        {"host", "other"}, {"USER-AGENT", "x"}, {"authorization", "Bearer t"}};
    const std::string text = request_text(uri, request_fields(uri, options, key));
    CHECK(text.find("Host:") == std::string::npos);
    CHECK(text.find("host: other\r\n") != std::string::npos);
    CHECK(text.find("User-Agent") == std::string::npos);
    CHECK(text.find("Basic") == std::string::npos);
}

TEST_CASE("check_options: what cannot stand in a request is refused by name") {
    // Header injection begins with CR or LF; the value may be a secret, so it is not repeated.
    const auto refused = [](const std::function<void(options_t&)>& change,
                            const std::string& name) {
        options_t options;
        change(options);
        const auto error = check_options(options);
        REQUIRE(error != nullptr);
        CHECK(error->Code() == error_e::INVALID_ARGUMENT);
        CHECK(error->Error_msg().find(name) != std::string::npos);
        CHECK(error->Error_msg().find("secret") == std::string::npos);
    };
    for (const std::string value : {"secret\r\nX: y", "secret\n", "secret\r", "secret\x7F"}) {
        refused([&](options_t& o) { o.additional_headers = {{"X-Name", value}}; }, "X-Name");
    }
    refused([](options_t& o) { o.additional_headers = {{"X", std::string("a\0b", 3)}}; }, "X");
    for (const std::string name : {"", "a b", "a:", "a\r\n", "\xC3\xA9", "(x)"}) {
        refused([&](options_t& o) { o.additional_headers = {{name, "v"}}; }, "additional_headers");
    }
    for (const std::string name :
         {"Upgrade", "connection", "SEC-WEBSOCKET-KEY", "Sec-WebSocket-Version",
          "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"}) {
        refused([&](options_t& o) { o.additional_headers = {{name, "v"}}; }, name);
    }
    refused([](options_t& o) { o.origin = "a\r\nb"; }, "origin");
    refused([](options_t& o) { o.user_agent = "a\nb"; }, "user_agent");
    refused([](options_t& o) { o.subprotocols = {"a,b"}; }, "subprotocols");
    refused([](options_t& o) { o.subprotocols = {"a", "a"}; }, "subprotocols");
    CHECK(check_options(options_t()) == nullptr);
}

TEST_CASE("check_response: good answers, in the forms that servers use") {
    // Names and tokens ignore case, lists may be split.
    negotiated out;
    CHECK(answer(line + upgrade + connection + accepted, plain(), out) == nullptr);
    CHECK(answer("HTTP/1.1 101\r\nupgrade: WebSocket\r\nconnection: keep-alive, UPGRADE\r\n"
                 "sec-websocket-accept:  " +
                     accept_value + " \r\n",
                 plain(), out) == nullptr);
    CHECK(answer(line + upgrade + "Connection: keep-alive\r\n" + connection + accepted, plain(),
                 out) == nullptr);
    CHECK(out.subprotocol.empty());
    options_t options = plain();
    options.subprotocols = {"a", "b"};
    CHECK(answer(line + upgrade + connection + accepted + "Sec-WebSocket-Protocol: b\r\n", options,
                 out) == nullptr);
    CHECK(out.subprotocol == "b");
}

TEST_CASE("check_response: every refusal of RFC 6455 section 4.1") {
    // An answer that is not ours, or not an upgrade, must not become a connection.
    CHECK(refusal("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n") == error_e::STATUS);
    CHECK(refusal("HTTP/1.1 301 Moved\r\nLocation: x\r\n") == error_e::STATUS);
    CHECK(refusal(line + connection + accepted) == error_e::UPGRADE);
    CHECK(refusal(line + "Upgrade: websockets\r\n" + connection + accepted) == error_e::UPGRADE);
    CHECK(refusal(line + "Upgrade: h2c, websocket\r\n" + connection + accepted) ==
          error_e::UPGRADE);
    CHECK(refusal(line + upgrade + accepted) == error_e::UPGRADE);
    CHECK(refusal(line + upgrade + "Connection: not-upgrade\r\n" + accepted) == error_e::UPGRADE);
    CHECK(refusal(line + upgrade + connection) == error_e::UPGRADE);
    CHECK(refusal(line + upgrade + connection + "Sec-WebSocket-Accept: x\r\n") == error_e::UPGRADE);
    CHECK(refusal(line + upgrade + connection + accepted + accepted) == error_e::UPGRADE);
    const std::string good = line + upgrade + connection + accepted;
    CHECK(refusal(good + "Sec-WebSocket-Extensions: x-foo\r\n") == error_e::NEGOTIATION);
    CHECK(refusal(good + "Sec-WebSocket-Extensions: permessage-deflate\r\n") ==
          error_e::NEGOTIATION);
    CHECK(refusal(good + "Sec-WebSocket-Protocol: a\r\n") == error_e::NEGOTIATION);
    options_t options = plain();
    options.subprotocols = {"a", "b"};
    CHECK(refusal(good + "Sec-WebSocket-Protocol: A\r\n", options) == error_e::NEGOTIATION);
    CHECK(refusal(good + "Sec-WebSocket-Protocol: a, b\r\n", options) == error_e::NEGOTIATION);
    CHECK(refusal(good + "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n", options) ==
          error_e::UPGRADE);
}
