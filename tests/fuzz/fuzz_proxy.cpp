/// Gives whatever bytes come to a client that asks a proxy for a connection: in one piece, and in
/// small ones. The outcome must be the same, what it holds and sends bounded, and the password in
/// no error. The first byte chooses the protocol.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "fuzz_target.hpp"
#include "transport/proxy_handshake.hpp"

namespace wspool::fuzz {
namespace {

using transport::proxy_handshake;
using step_e = proxy_handshake::step_e;

constexpr const char* password = "a secret";

struct outcome_t {
    step_e step = step_e::wants_read;
    std::string error;
    std::string sent;
};

[[noreturn]] void disagree(const char* what, const outcome_t& one, const outcome_t& other) {
    std::fprintf(stderr, "disagreement: %s\n%d %s\n%d %s\n", what, static_cast<int>(one.step),
                 one.error.c_str(), static_cast<int>(other.step), other.error.c_str());
    std::abort();
}

outcome_t talk(const proxy_t& proxy, std::string_view bytes, std::size_t piece) {
    proxy_handshake handshake(proxy, "server.test", 443, "wspool");
    outcome_t outcome;
    outcome.sent = handshake.take_output();
    while (outcome.step == step_e::wants_read && !bytes.empty()) {
        // In memory of exactly its size, so that a sanitizer sees every byte too far.
        const std::size_t size = std::min(piece, bytes.size());
        const std::unique_ptr<char[]> exact(new char[size]);
        std::memcpy(exact.get(), bytes.data(), size);
        bytes.remove_prefix(size);
        outcome.step = handshake.take({exact.get(), size});
        outcome.sent += handshake.take_output();
    }
    if (outcome.step == step_e::failed) outcome.error = handshake.take_error()->Error_msg();
    return outcome;
}

}  // namespace

const std::string_view spoiling = "HTTP/1. 0123\r\n:\0\x01\x02\x03\x04\x05\xFF";

void check(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return;
    proxy_t proxy;
    proxy.kind = (data[0] & 1U) != 0 ? proxy_t::kind_e::SOCKS5H : proxy_t::kind_e::HTTP;
    proxy.host = "proxy.test";
    proxy.port = 3128;
    proxy.has_credentials = (data[0] & 2U) != 0;
    if (proxy.has_credentials) {
        proxy.user = "joe";
        proxy.password = password;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
    const outcome_t whole = talk(proxy, bytes, bytes.size());
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
        const outcome_t pieces = talk(proxy, bytes, piece);
        // What stands behind an answer is only seen if it comes with it.
        const bool had_more = whole.error.find("more than its answer") != std::string::npos;
        if (had_more) continue;
        if (whole.step != pieces.step) disagree("the step", whole, pieces);
        if (whole.error != pieces.error) disagree("the error", whole, pieces);
        if (whole.sent != pieces.sent) disagree("what is sent", whole, pieces);
    }
    if (proxy.has_credentials && whole.error.find(password) != std::string::npos) {
        disagree("a secret", whole, whole);
    }
    if (whole.error.size() > 300 || whole.sent.size() > 1000) disagree("a bound", whole, whole);
}

}  // namespace wspool::fuzz
