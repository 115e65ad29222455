#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <websocketpp/http/request.hpp>
#include <websocketpp/http/response.hpp>

#include "wspool/export.hpp"

namespace wspool::detail {

using header_list_t = std::vector<std::pair<std::string, std::string>>;

/// The opening request as wspool writes it: header order and repeated names are kept, which
/// websocketpp's map of headers cannot do.
class handshake_request : public websocketpp::http::parser::request {
public:
    void set_raw(std::string text) { raw_ = std::move(text); }
    /// What goes on the wire (shadows websocketpp's).
    [[nodiscard]] const std::string& raw() const { return raw_; }

private:
    std::string raw_;
};

/// A strict, bounded, incremental parser for the server's answer (RFC 9112), in the place of
/// websocketpp's, which rejects valid status lines, knows no interim answers, and drops all but
/// the first read of an error's body.
class WSPOOL_API handshake_response : public websocketpp::http::parser::response {
public:
    static constexpr std::size_t max_head_bytes = 64 * 1024;  // interim answers' included
    static constexpr std::size_t max_headers = 256;
    static constexpr std::size_t max_body_bytes = 64 * 1024;

    /// Takes bytes; returns how many belong to the response. Throws websocketpp::http::exception
    /// for what is not HTTP, or above a bound (`failed_bound()` tells which).
    std::size_t consume(char const* bytes, std::size_t count);
    /// The end of the stream; completes a body that has no length.
    void end_of_stream();
    /// True once all that is wanted has been read: the head of a 101, the body of another status.
    [[nodiscard]] bool headers_ready() const { return state_ == state_e::done; }
    [[nodiscard]] std::string raw() const { return {}; }

    [[nodiscard]] bool have_head() const { return status_ == 101 || status_ >= 200; }
    [[nodiscard]] bool failed_bound() const { return failed_bound_; }
    [[nodiscard]] const std::string& error() const { return error_; }
    [[nodiscard]] int status() const { return status_; }
    [[nodiscard]] const std::string& reason_phrase() const { return reason_phrase_; }
    [[nodiscard]] const header_list_t& fields() const { return fields_; }
    [[nodiscard]] const std::string& body() const { return body_; }

private:
    enum class state_e { head, sized_body, chunked_body, open_body, done };

    [[noreturn]] void fail(std::string why, bool bound = false);
    void parse_head(const char* begin, const char* end);
    void parse_status_line(const char* begin, const char* end);
    void parse_field_line(const char* begin, const char* end);
    void choose_body();
    void take_chunked();

    state_e state_ = state_e::head;
    std::string head_;
    std::size_t head_bytes_ = 0;  // of all heads so far
    std::string chunked_;
    std::size_t body_length_ = 0;
    int status_ = 0;
    std::string reason_phrase_;
    header_list_t fields_;
    std::string body_;
    std::string error_;
    bool failed_bound_ = false;
};

}  // namespace wspool::detail
