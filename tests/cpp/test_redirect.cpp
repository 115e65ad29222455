#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/redirect.hpp"

using namespace wspool;
using namespace wspool::protocol;
using wspool::detail::handshake_response;

namespace {

uri_t uri(const std::string& text) {
    uri_t parts;
    std::string error;
    REQUIRE(parse_uri(text, parts, error));
    return parts;
}

/// The whole result, with credentials; "" if the Location leads nowhere.
std::string resolved(const std::string& base, const std::string& location) {
    uri_t target;
    if (!resolve_location(uri(base), location, target)) return "";
    const std::string credentials =
        target.has_credentials ? target.user + ":" + target.password + "@" : "";
    return credentials + target.without_credentials();
}

bool is_redirect(const std::string& head) {
    handshake_response response;
    const std::string text = "HTTP/1.1 " + head + "Content-Length: 0\r\n\r\n";
    response.consume(text.data(), text.size());
    uri_t target;
    return find_redirect(response, uri("ws://h/"), target);
}

}  // namespace

TEST_CASE("resolve_location: the examples of RFC 3986 section 5.4 that have a path") {
    // Its base with our scheme; fragments are dropped.
    struct row_t {
        const char* reference;
        const char* target;
    };
    const std::vector<row_t> rows = {
        {"g", "ws://a/b/c/g"},        {"./g", "ws://a/b/c/g"},
        {"g/", "ws://a/b/c/g/"},      {"/g", "ws://a/g"},
        {"//g", "ws://g/"},           {"?y", "ws://a/b/c/d;p?y"},
        {"g?y", "ws://a/b/c/g?y"},    {"#s", "ws://a/b/c/d;p?q"},
        {"g#s", "ws://a/b/c/g"},      {"g?y#s", "ws://a/b/c/g?y"},
        {";x", "ws://a/b/c/;x"},      {"g;x=1/./y", "ws://a/b/c/g;x=1/y"},
        {"", "ws://a/b/c/d;p?q"},     {".", "ws://a/b/c/"},
        {"./", "ws://a/b/c/"},        {"..", "ws://a/b/"},
        {"../g", "ws://a/b/g"},       {"../..", "ws://a/"},
        {"../../g", "ws://a/g"},      {"../../../g", "ws://a/g"},
        {"/./g", "ws://a/g"},         {"/../g", "ws://a/g"},
        {"g.", "ws://a/b/c/g."},      {"..g", "ws://a/b/c/..g"},
        {"./../g", "ws://a/b/g"},     {"./g/.", "ws://a/b/c/g/"},
        {"g/../h", "ws://a/b/c/h"},   {"g?y/../x", "ws://a/b/c/g?y/../x"},
        {"g#s/../x", "ws://a/b/c/g"}, {"ws://a/../x/./y", "ws://a/x/y"},
    };
    for (const row_t& row : rows) {
        INFO(row.reference);
        CHECK(resolved("ws://a/b/c/d;p?q", row.reference) == row.target);
    }
}

TEST_CASE("resolve_location: schemes, hosts and ports") {
    // http and https mean ws and wss: servers answer with what their web framework writes.
    CHECK(resolved("ws://a/", "http://b/p") == "ws://b/p");
    CHECK(resolved("ws://a/", "https://b/p") == "wss://b/p");
    CHECK(resolved("ws://a/", "HTTPS://b:80") == "wss://b:80/");
    CHECK(resolved("ws://a/", "wss://b:443?q") == "wss://b/?q");
    CHECK(resolved("wss://a:1/x", "//b/y") == "wss://b/y");
    CHECK(resolved("wss://a:1/x", "/y") == "wss://a:1/y");
    CHECK(resolved("ws://[::1]:9/x", "y") == "ws://[::1]:9/y");
    CHECK(resolved("ws://a/x/y", "b:c/d") == "");  // a scheme, not a path
    CHECK(resolved("ws://a/x/y", "./b:c/d") == "ws://a/x/b:c/d");
    CHECK(resolved("ws://a/x", "  /y\t") == "ws://a/y");
    CHECK(resolved("ws://a/x", "/\xC3\xA9?\xC3\xBC") == "ws://a/%C3%A9?%C3%BC");
}

TEST_CASE("resolve_location: what leads to no WebSocket URI") {
    // Each is told as the refusal that it is.
    for (const char* location :
         {"ftp://a/", "javascript:alert(1)", "http:/a", "http:a", "ws:", "//", "///x", "http://",
          "ws://a:70000/", "ws://a b/", "/a b", "ws://user@h/", "//\xC3\xA9/"}) {
        INFO(location);
        CHECK(resolved("ws://a/", location) == "");
    }
}

TEST_CASE("resolve_location: user and password stay within the origin") {
    // Another origin must not learn them; one that names its own is taken at its word.
    CHECK(resolved("ws://u:p@a/", "/x") == "u:p@ws://a/x");
    CHECK(resolved("ws://u:p@a/", "ws://A:80/x") == "u:p@ws://A/x");
    CHECK(resolved("ws://u:p@a/", "ws://v:q@a/x") == "v:q@ws://a/x");
    CHECK(resolved("ws://u:p@a/", "ws://a:81/x") == "ws://a:81/x");
    CHECK(resolved("ws://u:p@a/", "wss://a/x") == "wss://a/x");
    CHECK(resolved("ws://u:p@a/", "//b/x") == "ws://b/x");
    CHECK(resolved("ws://u:p@a/", "ws://v:q@b/x") == "v:q@ws://b/x");
}

TEST_CASE("same_origin: scheme, host without case, and port") {
    // RFC 6454 section 5.
    CHECK(same_origin(uri("ws://a/x"), uri("ws://A:80/y?z")));
    CHECK(same_origin(uri("wss://a"), uri("wss://a:443")));
    CHECK_FALSE(same_origin(uri("ws://a:443"), uri("wss://a")));
    CHECK_FALSE(same_origin(uri("ws://a"), uri("ws://a:81")));
    CHECK_FALSE(same_origin(uri("ws://a"), uri("ws://a.b")));
}

TEST_CASE("find_redirect: six statuses, and one Location that can be read") {
    // RFC 9110 section 15.4; 304 to 306 are no redirects.
    for (const char* status : {"300", "301", "302", "303", "307", "308"}) {
        CHECK(is_redirect(std::string(status) + " x\r\nlocation: /y\r\n"));
    }
    for (const char* status : {"200", "201", "304", "305", "306", "309", "401", "503"}) {
        CHECK_FALSE(is_redirect(std::string(status) + " x\r\nLocation: /y\r\n"));
    }
    CHECK_FALSE(is_redirect("302 x\r\n"));
    CHECK_FALSE(is_redirect("302 x\r\nLocation: ftp://h/\r\n"));
    CHECK(is_redirect("302 x\r\nLocation: /y\r\nLocation: /y\r\n"));
    CHECK_FALSE(is_redirect("302 x\r\nLocation: /y\r\nLocation: /z\r\n"));
}

TEST_CASE("check_redirect: what is not followed") {
    // And no error tells path, query or password of where it leads.
    options_t options;
    const auto refusal = [&](const char* from, const char* to, unsigned followed = 0) {
        const auto error = check_redirect(uri(from), uri(to), options, followed);
        if (!error) return std::string();
        CHECK(error->Code() == error_e::SECURITY);
        CHECK(error->Error_msg().find("secret") == std::string::npos);
        return error->Error_msg();
    };
    CHECK(refusal("ws://a", "wss://b") == "");
    CHECK(refusal("ws://a", "ws://b", 9) == "");
    CHECK(refusal("ws://a", "ws://a", 10) == "more than 10 redirects");
    CHECK(refusal("wss://a", "ws://u:secret@b/secret?secret") ==
          "redirect from wss to ws is refused: it leads to ws://b");
    options.unix_path = "/run/x";
    CHECK(refusal("ws://a", "ws://a/x") == "");
    CHECK(refusal("ws://a", "ws://b/secret") ==
          "redirect from a Unix socket to another origin is refused: it leads to b");
    options.max_redirects = 1;
    CHECK(refusal("ws://a", "ws://a/x", 1) == "more than 1 redirects");
}

TEST_CASE("without_credentials: what is bound to the origin goes, the rest stays") {
    // Names of headers have no case.
    options_t options;
    options.additional_headers = {{"authorization", "a"},       {"X-Key", "k"}, {"COOKIE", "c"},
                                  {"Proxy-Authorization", "p"}, {"host", "h"},  {"X-Key", "l"}};
    options.server_hostname = "a";
    options.origin = "https://o";
    const auto left = without_credentials(options);
    const detail::header_list_t expected = {{"X-Key", "k"}, {"X-Key", "l"}};
    CHECK(left.additional_headers == expected);
    CHECK(left.server_hostname == "");
    CHECK(left.origin == "https://o");
}
