#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

#include <websocketpp/http/constants.hpp>

#include "protocol/handshake.hpp"
#include "wspool/detail/handshake_messages.hpp"

namespace wspool::detail {

namespace {

constexpr std::size_t max_chunk_line = 1024;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view view(const char* begin, const char* end) {
    return {begin, static_cast<std::size_t>(end - begin)};
}

/// Each line may end with CRLF or LF alone (RFC 9112 section 2.2).
bool ends_with_blank_line(std::string_view head) {
    head.remove_suffix(1);
    if (!head.empty() && head.back() == '\r') head.remove_suffix(1);
    return head.empty() || head.back() == '\n';
}

}  // namespace

void handshake_response::fail(std::string why, bool bound) {
    error_ = std::move(why);
    failed_bound_ = bound;
    throw websocketpp::http::exception(error_, websocketpp::http::status_code::bad_request);
}

std::size_t handshake_response::consume(char const* bytes, std::size_t count) {
    std::size_t used = 0;
    while (used < count && state_ == state_e::head) {
        // To the end of the line, which may be the head's last.
        const std::string_view rest(bytes + used, count - used);
        const std::size_t newline = rest.find('\n');
        const std::size_t piece = newline == std::string_view::npos ? rest.size() : newline + 1;
        head_.append(rest.substr(0, piece));
        used += piece;
        head_bytes_ += piece;
        if (head_bytes_ > max_head_bytes) fail("the answer's headers are too large", true);
        if (newline != std::string_view::npos && ends_with_blank_line(head_)) {
            parse_head(head_.data(), head_.data() + head_.size());
            head_.clear();
            choose_body();
        } else if (head_.size() >= 5 && head_.compare(0, 5, "HTTP/") != 0) {
            fail("the server's answer is not HTTP");
        }
    }
    if (state_ == state_e::head || state_ == state_e::done) return used;

    const std::string_view rest(bytes + used, count - used);
    if (state_ == state_e::chunked_body) {
        chunked_.append(rest);
        take_chunked();
    } else {
        const std::size_t wanted =
            (state_ == state_e::sized_body ? body_length_ : max_body_bytes) - body_.size();
        body_.append(rest.substr(0, wanted));
        if (rest.size() >= wanted) state_ = state_e::done;
    }
    return count;
}

void handshake_response::end_of_stream() {
    if (state_ != state_e::head) state_ = state_e::done;
}

void handshake_response::parse_head(const char* begin, const char* end) {
    status_ = 0;
    fields_.clear();
    bool first = true;
    while (begin < end) {
        const char* newline = std::find(begin, end, '\n');
        const char* stop = newline != begin && newline[-1] == '\r' ? newline - 1 : newline;
        if (stop == begin) {
            if (first) fail("the server's answer is not HTTP");
            return;
        }
        if (first) {
            parse_status_line(begin, stop);
        } else {
            parse_field_line(begin, stop);
        }
        first = false;
        begin = newline + 1;
    }
}

/// RFC 9112 section 4: HTTP/1.1 SP 3DIGIT [SP reason]
void handshake_response::parse_status_line(const char* begin, const char* end) {
    const std::string_view line = view(begin, end);
    if (line.size() < 12 || line.substr(0, 5) != "HTTP/" || !is_digit(line[5]) || line[6] != '.' ||
        !is_digit(line[7]) || line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) ||
        !is_digit(line[11]) || (line.size() > 12 && line[12] != ' ')) {
        fail("the server's answer is not HTTP");
    }
    if (line.substr(5, 3) != "1.1") {
        fail("the server answered with HTTP/" + std::string(line.substr(5, 3)) +
             ", which cannot upgrade");
    }
    status_ = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (status_ < 100) fail("the server's answer has an invalid status");
    reason_phrase_ = line.size() > 13 ? line.substr(13) : std::string_view();
}

/// RFC 9112 section 5: name ":" OWS value OWS; no folding.
void handshake_response::parse_field_line(const char* begin, const char* end) {
    if (fields_.size() == max_headers) fail("the answer has too many headers", true);
    const char* colon = std::find(begin, end, ':');
    if (colon == end || !protocol::is_token(view(begin, colon))) {
        fail("the answer has an invalid header line");
    }
    const char* value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t')) ++value;
    while (value < end && (end[-1] == ' ' || end[-1] == '\t')) --end;
    for (const char* c = value; c < end; ++c) {
        if ((static_cast<unsigned char>(*c) < 0x20 && *c != '\t') || *c == 0x7F) {
            fail("a header of the answer contains a control character");
        }
    }
    fields_.emplace_back(std::string(begin, colon), std::string(value, end));
}

void handshake_response::choose_body() {
    if (status_ == 101) {
        state_ = state_e::done;
        return;
    }
    if (status_ < 200) return;  // interim: the final answer follows (RFC 9110 section 15.2)
    state_ = state_e::open_body;
    for (const auto& [name, value] : fields_) {
        if (protocol::equals_ignoring_case(name, "Transfer-Encoding")) {
            if (protocol::equals_ignoring_case(value, "chunked")) state_ = state_e::chunked_body;
            break;
        }
        if (protocol::equals_ignoring_case(name, "Content-Length")) {
            std::size_t length = 0;
            const char* end = value.data() + value.size();
            const auto [stop, code] = std::from_chars(value.data(), end, length);
            if (code != std::errc() || stop != end) fail("the answer's Content-Length is invalid");
            body_length_ = std::min(length, max_body_bytes);
            state_ = body_length_ == 0 ? state_e::done : state_e::sized_body;
        }
    }
    if (status_ == 204 || status_ == 304) state_ = state_e::done;
}

/// RFC 9112 section 7.1; what is not well-formed ends the body where it stands.
void handshake_response::take_chunked() {
    while (state_ == state_e::chunked_body) {
        const std::size_t line = chunked_.find("\r\n");
        // Too long a line ends the body, be its end here already or not: pieces must not matter.
        if (line == std::string::npos || line >= max_chunk_line) {
            if (chunked_.size() > max_chunk_line) state_ = state_e::done;
            return;
        }
        std::size_t size = 0;
        const auto [stop, code] =
            std::from_chars(chunked_.data(), chunked_.data() + line, size, 16);
        if (code != std::errc() || stop == chunked_.data() || size == 0 ||
            size > max_body_bytes - body_.size()) {
            state_ = state_e::done;
            return;
        }
        if (chunked_.size() < line + 2 + size + 2) return;
        body_.append(chunked_, line + 2, size);
        chunked_.erase(0, line + 2 + size + 2);
    }
}

}  // namespace wspool::detail
