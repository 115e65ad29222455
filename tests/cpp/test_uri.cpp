#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/uri.hpp"

using wspool::protocol::parse_uri;
using wspool::protocol::uri_t;

TEST_CASE("parse_uri: good URIs in parts") {
    // RFC 6455 section 3 over RFC 3986; websocketpp misreads several of these.
    struct row_t {
        const char* text;
        bool secure;
        const char* host;
        unsigned port;
        const char* resource;
        const char* authority;
    };
    const std::vector<row_t> rows = {
        {"ws://h", false, "h", 80, "/", "h"},
        {"wss://h", true, "h", 443, "/", "h"},
        {"WSS://Host.Example/", true, "Host.Example", 443, "/", "Host.Example"},
        {"ws://h?x", false, "h", 80, "/?x", "h"},
        {"ws://h/?x=/y?z", false, "h", 80, "/?x=/y?z", "h"},
        {"ws://h/a@b:c", false, "h", 80, "/a@b:c", "h"},
        {"ws://h:80/a", false, "h", 80, "/a", "h"},
        {"ws://h:443/a", false, "h", 443, "/a", "h:443"},
        {"wss://h:443", true, "h", 443, "/", "h"},
        {"ws://h:65535", false, "h", 65535, "/", "h:65535"},
        {"ws://h:1", false, "h", 1, "/", "h:1"},
        {"ws://h:/p", false, "h", 80, "/p", "h"},
        {"ws://127.0.0.1:9/", false, "127.0.0.1", 9, "/", "127.0.0.1:9"},
        {"ws://[::1]", false, "::1", 80, "/", "[::1]"},
        {"wss://[2001:db8::1]:8443/x?y", true, "2001:db8::1", 8443, "/x?y", "[2001:db8::1]:8443"},
        {"ws://u:p@h/", false, "h", 80, "/", "h"},
        {"ws://h/%20%C3%A9", false, "h", 80, "/%20%C3%A9", "h"},
    };
    for (const row_t& row : rows) {
        INFO(row.text);
        uri_t uri;
        std::string error;
        REQUIRE(parse_uri(row.text, uri, error));
        CHECK(uri.secure == row.secure);
        CHECK(uri.host == row.host);
        CHECK(uri.port == row.port);
        CHECK(uri.resource == row.resource);
        CHECK(uri.authority() == row.authority);
    }
}

TEST_CASE("parse_uri: bad URIs are refused, and a reason given") {
    // Bad input from a caller must not become a strange request.
    const std::vector<std::string> rows = {"",
                                           "h",
                                           "//h",
                                           "ws:/h",
                                           "ws:h",
                                           "http://h",
                                           "wsx://h",
                                           "://h",
                                           "ws://",
                                           "ws:///p",
                                           "ws://:80",
                                           "ws://h:0",
                                           "ws://h:65536",
                                           "ws://h:99999999999",
                                           "ws://h:80abc",
                                           "ws://h:-1",
                                           "ws://h:+1",
                                           "ws://h: 80",
                                           "ws://h:8 0",
                                           "ws:// h",
                                           "ws://h/a b",
                                           "ws://h/\r\nX: y",
                                           "ws://h/\t",
                                           std::string("ws://h/\0x", 9),
                                           "ws://h/\x7F",
                                           "ws://h#f",
                                           "ws://h/p#",
                                           "ws://h?q#f",
                                           "ws://\xC3\xA9/",
                                           "ws://h/\xC3\xA9",
                                           "ws://[::1",
                                           "ws://::1/",
                                           "ws://[]/",
                                           "ws://[h]/",
                                           "ws://[::1]x/",
                                           "ws://[::1]80",
                                           "ws://[12345]",
                                           "ws://u@h/",
                                           "ws://u:%zz@h/",
                                           "ws://u:%4@h/",
                                           "ws://h<x>/",
                                           "ws://h\\x/",
                                           "ws://a:b:c/"};
    for (const std::string& text : rows) {
        INFO(text);
        uri_t uri;
        std::string error;
        CHECK_FALSE(parse_uri(text, uri, error));
        CHECK_FALSE(error.empty());
    }
}

TEST_CASE("parse_uri: credentials are decoded, and kept out of texts and errors") {
    // They must never reach a log.
    uri_t uri;
    std::string error;
    REQUIRE(parse_uri("wss://us%40er:pa%3Ass%2F@h:1/p?q", uri, error));
    CHECK(uri.has_credentials);
    CHECK(uri.user == "us@er");
    CHECK(uri.password == "pa:ss/");
    CHECK(uri.without_credentials() == "wss://h:1/p?q");
    for (const char* text : {"ws://user:secret@h:x/", "ws://user:secret@/", "ws://secret@h"}) {
        CHECK_FALSE(parse_uri(text, uri, error));
        CHECK(error.find("secret") == std::string::npos);
    }
    REQUIRE(parse_uri("ws://h/", uri, error));
    CHECK_FALSE(uri.has_credentials);
}
