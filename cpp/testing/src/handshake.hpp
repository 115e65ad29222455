#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wspool::testing {

/// The opening handshake of RFC 6455 section 4.2: bytes in, an answer out.
struct handshake_result {
    std::size_t consumed = 0;  ///< 0: the request isn't complete yet
    bool accepted = false;
    std::string response;  ///< to be sent; after it an accepted connection is open
    std::string error;     ///< why it was refused
    std::string path;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string subprotocol;
};

constexpr std::size_t max_request_size = 16U << 10U;

[[nodiscard]] handshake_result answer_request(std::string_view bytes,
                                              const std::vector<std::string>& subprotocols);

/// A token of RFC 9110 section 5.6.2, as header and subprotocol names must be.
[[nodiscard]] bool is_token(std::string_view text) noexcept;

}  // namespace wspool::testing
