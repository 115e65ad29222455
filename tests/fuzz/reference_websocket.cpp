#include "reference_websocket.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include <zlib.h>

namespace wspool::fuzz::slow {
namespace {

// The core's bounds, as its headers state them.
constexpr std::size_t most_head = 64 * 1024;
constexpr std::size_t most_fields = 256;
constexpr std::size_t most_body = 64 * 1024;
constexpr std::size_t most_chunk_line = 1024;
/// A smaller frame that is incomplete need not be looked into.
constexpr std::size_t small_frame = 4096;
/// So much is inflated before it is judged.
constexpr std::size_t most_inflated_at_once = 32 * 1024;

// --- the answer

bool is_digit(char c) { return c >= '0' && c <= '9'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

bool is_name(std::string_view text) {
    if (text.empty()) return false;
    for (const char c : text) {
        const char small = lower(c);
        if (!is_digit(c) && !(small >= 'a' && small <= 'z') &&
            std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos)
            return false;
    }
    return true;
}

std::string stripped(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts(1);
    for (const char c : text) {
        if (c == separator)
            parts.emplace_back();
        else
            parts.back() += c;
    }
    for (std::string& part : parts) part = stripped(part);
    return parts;
}

/// RFC 9112 section 4, but that the space in front of a missing reason may be missing as well, and
/// that nobody cares what the reason is made of. -1: not such a line; only HTTP/1.1 can upgrade.
int status_of(const std::string& line) {
    if (line.size() < 12 || line.substr(0, 9) != "HTTP/1.1 ") return -1;
    if (line.size() > 12 && line[12] != ' ') return -1;
    int status = 0;
    for (int i = 9; i < 12; ++i) {
        if (!is_digit(line[static_cast<std::size_t>(i)])) return -1;
        status = status * 10 + (line[static_cast<std::size_t>(i)] - '0');
    }
    return status < 100 ? -1 : status;
}

/// RFC 9112 section 5, without folding.
bool read_field(const std::string& line, opening& out) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || !is_name(line.substr(0, colon))) return false;
    const std::string value = stripped(line.substr(colon + 1));
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\t') || byte == 0x7F) return false;
    }
    out.fields.emplace_back(line.substr(0, colon), value);
    return out.fields.size() <= most_fields;
}

std::vector<std::string> values_of(const opening& answer, std::string_view name) {
    std::vector<std::string> found;
    for (const auto& [field, value] : answer.fields)
        if (same_word(field, name)) found.push_back(value);
    return found;
}

/// The members of a list over all its lines; empty ones do not count (RFC 9110 section 5.6.1).
/// Quoted commas are taken for separators: nothing that may be answered has any.
std::vector<std::string> members_of(const opening& answer, std::string_view name) {
    std::vector<std::string> found;
    for (const std::string& value : values_of(answer, name))
        for (const std::string& member : split(value, ','))
            if (!member.empty()) found.push_back(member);
    return found;
}

/// RFC 7692 section 7.1.2: 8 to 15, without leading zeros; quotes are RFC 6455's (section 9.1), but
/// nobody needs a backslash within.
bool read_bits(std::string text, int most, int& out) {
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
        text = text.substr(1, text.size() - 2);
    for (int bits = 8; bits <= most; ++bits) {
        if (text != std::to_string(bits)) continue;
        out = bits;
        return true;
    }
    return false;
}

/// RFC 7692 section 7.1. The extension's name is compared as header tokens mostly are, without
/// case; its parameters as they are written.
bool read_extension(const std::string& text, const offer& offered, opening& out) {
    const auto parts = split(text, ';');
    if (!same_word(parts[0], "permessage-deflate")) return false;
    out.deflate = true;
    out.client_max_window_bits = offered.client_max_window_bits;
    std::vector<std::string> seen;
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const auto equals = parts[i].find('=');
        const bool has_value = equals != std::string::npos;
        const std::string name = stripped(parts[i].substr(0, equals));
        const std::string value = has_value ? stripped(parts[i].substr(equals + 1)) : "";
        if (std::count(seen.begin(), seen.end(), name) != 0) return false;
        seen.push_back(name);
        if (name == "server_no_context_takeover") {
            if (has_value) return false;
            out.server_no_context_takeover = true;
        } else if (name == "client_no_context_takeover") {
            if (has_value) return false;
            out.client_no_context_takeover = true;
        } else if (name == "server_max_window_bits") {
            if (!read_bits(value, offered.server_max_window_bits, out.server_max_window_bits))
                return false;
        } else if (name == "client_max_window_bits") {
            if (!read_bits(value, offered.client_max_window_bits, out.client_max_window_bits))
                return false;
        } else {
            return false;
        }
    }
    if (offered.server_no_context_takeover && !out.server_no_context_takeover) return false;
    if (offered.server_max_window_bits < 15 &&
        std::count(seen.begin(), seen.end(), "server_max_window_bits") == 0)
        return false;
    if (offered.client_no_context_takeover) out.client_no_context_takeover = true;
    return true;
}

/// RFC 6455 section 4.1, the client's checks.
bool opens(opening& answer, const offer& offered) {
    if (answer.status != 101) return false;
    bool upgrades = false;
    for (const std::string& option : members_of(answer, "Connection"))
        if (same_word(option, "upgrade")) upgrades = true;
    if (!upgrades) return false;
    const auto protocols = members_of(answer, "Upgrade");
    if (protocols.size() != 1 || !same_word(protocols[0], "websocket")) return false;
    if (values_of(answer, "Sec-WebSocket-Accept") != std::vector<std::string>{offered.accept})
        return false;
    const auto extensions = members_of(answer, "Sec-WebSocket-Extensions");
    if (extensions.size() > (offered.deflate ? 1U : 0U)) return false;
    if (!extensions.empty() && !read_extension(extensions[0], offered, answer)) return false;
    const auto subprotocols = values_of(answer, "Sec-WebSocket-Protocol");
    if (subprotocols.empty()) return true;
    answer.subprotocol = subprotocols[0];
    return subprotocols.size() == 1 &&
           std::count(offered.subprotocols.begin(), offered.subprotocols.end(),
                      answer.subprotocol) != 0;
}

/// RFC 9112 section 7.1, to the last whole chunk.
std::string read_chunks(std::string_view bytes) {
    std::string body;
    while (true) {
        const auto line = bytes.find("\r\n");
        if (line == std::string_view::npos || line >= most_chunk_line) return body;
        std::size_t size = 0;
        std::size_t digits = 0;
        for (; digits < line; ++digits) {
            const char c = lower(bytes[digits]);
            if (!is_digit(c) && !(c >= 'a' && c <= 'f')) break;
            size = size * 16 + static_cast<std::size_t>(is_digit(c) ? c - '0' : c - 'a' + 10);
            if (size > most_body) return body;
        }
        if (digits == 0 || size == 0 || body.size() + size > most_body) return body;
        if (bytes.size() < line + 2 + size + 2) return body;
        body += bytes.substr(line + 2, size);
        bytes.remove_prefix(line + 2 + size + 2);
    }
}

/// RFC 9112 section 6.3. False if the answer is broken.
bool read_body(std::string_view bytes, opening& out) {
    const auto lengths = values_of(out, "Content-Length");
    const auto codings = values_of(out, "Transfer-Encoding");
    // Both, or one of them twice, is an attack or a mistake. The body only serves to show the user
    // what the server said, so whatever is made of it will do, but for a crash.
    if (lengths.size() + codings.size() > 1) {
        out.is_body_sure = false;
        return true;
    }
    const bool has_none = out.status == 204 || out.status == 304;
    if (!codings.empty()) {
        // Other codings than chunked end with the connection.
        if (!has_none)
            out.body =
                same_word(codings[0], "chunked") ? read_chunks(bytes) : bytes.substr(0, most_body);
        return true;
    }
    std::size_t length = most_body;
    if (!lengths.empty()) {
        std::uint64_t announced = 0;
        for (const char c : lengths[0]) {
            if (!is_digit(c)) return false;
            const auto digit = static_cast<std::uint64_t>(c - '0');
            if (announced > (UINT64_MAX - digit) / 10) return false;
            announced = announced * 10 + digit;
        }
        if (lengths[0].empty()) return false;
        length = static_cast<std::size_t>(std::min<std::uint64_t>(announced, most_body));
    }
    if (!has_none) out.body = bytes.substr(0, length);
    return true;
}

// --- text

enum class text_e { WHOLE, CUT, BAD };

/// RFC 3629: whether the text is whole, ends inside a character, or has a byte that no text can
/// have there. Moves `begin` behind the whole characters.
text_e check_text(const std::string& text, std::size_t& begin) {
    while (begin < text.size()) {
        const auto byte = [&](std::size_t at) {
            return static_cast<unsigned>(static_cast<unsigned char>(text[at]));
        };
        const unsigned lead = byte(begin);
        std::size_t size = 1;
        std::uint32_t code = lead;
        if (lead >= 0x80) {
            if (lead < 0xC0 || lead >= 0xF8) return text_e::BAD;
            size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
            code = lead & (0x7FU >> size);
        }
        // The least and the most that what is there can become.
        std::uint32_t least = code;
        std::uint32_t most = code;
        bool is_whole = true;
        for (std::size_t k = 1; k < size; ++k) {
            const bool is_there = begin + k < text.size();
            if (is_there && (byte(begin + k) & 0xC0U) != 0x80U) return text_e::BAD;
            least = least << 6U | (is_there ? byte(begin + k) & 0x3FU : 0U);
            most = most << 6U | (is_there ? byte(begin + k) & 0x3FU : 0x3FU);
            is_whole = is_whole && is_there;
        }
        const std::uint32_t shortest = size == 1   ? 0
                                       : size == 2 ? 0x80U
                                       : size == 3 ? 0x800U
                                                   : 0x10000U;
        if (most < shortest || least > 0x10FFFF || (least >= 0xD800 && most <= 0xDFFF))
            return text_e::BAD;
        if (!is_whole) return text_e::CUT;
        begin += size;
    }
    return text_e::WHOLE;
}

// --- deflate

/// Inflates byte by byte. One stream of zlib's lasts until a block says that it is the last
/// (BFINAL); the next is begun behind it, at a whole byte, with what came before as its dictionary.
class inflater {
public:
    explicit inflater(int window_bits) : window_bits_(window_bits) { begin(); }
    ~inflater() { inflateEnd(&stream_); }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;

    /// False: corrupt. Stops, and is of no more use, when `out` has more than `most` bytes.
    bool take(char byte, std::string& out, std::size_t most) {
        auto in = static_cast<Bytef>(byte);
        stream_.next_in = &in;
        stream_.avail_in = 1;
        while (true) {
            // zlib looks for what its window does not hold in the output buffer as well. With room
            // for one byte there is nothing else in there, so that the window is what counts.
            stream_.next_out = buffer_.data();
            const uInt room = window_bits_ == 15 ? static_cast<uInt>(buffer_.size()) : 1;
            stream_.avail_out = room;
            const int result = ::inflate(&stream_, Z_SYNC_FLUSH);
            if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END) return false;
            const std::size_t count = room - stream_.avail_out;
            out.append(reinterpret_cast<const char*>(buffer_.data()), count);
            history_.append(reinterpret_cast<const char*>(buffer_.data()), count);
            if (history_.size() > 3 * window()) history_.erase(0, history_.size() - window());
            if (result == Z_STREAM_END) {
                inflateEnd(&stream_);
                const Bytef* const rest = stream_.next_in;
                const uInt rest_size = stream_.avail_in;
                begin();
                stream_.next_in = const_cast<Bytef*>(rest);
                stream_.avail_in = rest_size;
                const std::size_t known = std::min(history_.size(), window());
                inflateSetDictionary(
                    &stream_,
                    reinterpret_cast<const Bytef*>(history_.data() + history_.size() - known),
                    static_cast<uInt>(known));
                if (rest_size == 0) return true;
            } else if (stream_.avail_in == 0 && stream_.avail_out != 0) {
                return true;
            }
            if (out.size() > most) return true;
        }
    }

    void forget() {
        inflateEnd(&stream_);
        history_.clear();
        begin();
    }

private:
    void begin() {
        stream_ = z_stream();
        if (inflateInit2(&stream_, -window_bits_) != Z_OK) std::abort();
    }
    [[nodiscard]] std::size_t window() const { return std::size_t{1} << window_bits_; }

    int window_bits_;
    z_stream stream_{};
    std::array<Bytef, 256> buffer_{};
    std::string history_;
};

// --- frames

class reader {
public:
    reader(std::string_view bytes, const offer& offered, const opening& opened, int window_bits)
        : bytes_(bytes), offered_(offered), opened_(opened) {
        if (opened.deflate) inflater_.emplace(window_bits);
    }

    frames read() {
        while (at_ < bytes_.size() && verdicts_.empty() && !is_closed_)
            if (!frame()) break;
        if (verdicts_.empty()) verdicts_.push_back(0);
        return {std::move(events_), std::move(verdicts_)};
    }

private:
    /// The next byte; false behind the last.
    bool next(unsigned& byte) {
        if (at_ == bytes_.size()) return false;
        byte = static_cast<unsigned char>(bytes_[at_++]);
        return true;
    }

    bool fail(unsigned code) {
        verdicts_ = {code};
        return false;
    }

    /// RFC 6455 section 5.2. False if reading ends here. What breaks a rule in the header is a
    /// protocol error (1002) as soon as its byte has come; a message too large for the header to
    /// be right in its own frame (1009) as soon as the header is complete.
    bool frame() {
        const std::size_t begin = at_;
        unsigned first = 0;
        unsigned second = 0;
        if (!next(first)) return false;
        const bool is_final = (first & 0x80U) != 0;
        const bool has_rsv1 = (first & 0x40U) != 0;
        const unsigned opcode = first & 0x0FU;
        const bool is_control = opcode >= 8;
        if ((first & 0x30U) != 0) return fail(1002);
        if ((opcode >= 3 && opcode <= 7) || opcode >= 11) return fail(1002);
        if (has_rsv1 && !opened_.deflate) return fail(1002);
        if (has_rsv1 && opcode != 1 && opcode != 2) return fail(1002);  // RFC 7692 section 6
        if (is_control && !is_final) return fail(1002);
        if (opcode == 0 && !in_message_) return fail(1002);
        if ((opcode == 1 || opcode == 2) && in_message_) return fail(1002);

        if (!next(second)) return false;
        if ((second & 0x80U) != 0) return fail(1002);  // masked
        std::uint64_t length = second;
        if (is_control && length > 125) return fail(1002);
        if (length >= 126) {
            const int bytes = length == 126 ? 2 : 8;
            length = 0;
            for (int i = 0; i < bytes; ++i) {
                unsigned byte = 0;
                if (!next(byte)) return false;
                length = length * 256 + byte;
            }
            if (length < (bytes == 2 ? 126U : 65536U)) return fail(1002);  // not the shortest form
            if (length > INT64_MAX) return fail(1002);
        }
        if (is_control) return control(opcode, length);
        if (opcode != 0) {
            in_message_ = true;
            is_text_ = opcode == 1;
            is_deflated_ = has_rsv1;
            message_.clear();
            told_ = 0;
            checked_ = 0;
        }
        // A deflated one may yet turn out to be small, unless it is twice the bound already.
        if (is_deflated_ ? length > 1024 && (length - 1024) / 2 > offered_.max_size
                         : length > offered_.max_size - message_.size()) {
            return fail(1009);
        }
        return data(is_final, length, at_ - begin);
    }

    /// Counts only when complete.
    bool control(unsigned opcode, std::uint64_t length) {
        if (bytes_.size() - at_ < length) return false;
        event told;
        told.kind = opcode == 8   ? event::kind_e::CLOSE
                    : opcode == 9 ? event::kind_e::PING
                                  : event::kind_e::PONG;
        told.payload = bytes_.substr(at_, static_cast<std::size_t>(length));
        at_ += static_cast<std::size_t>(length);
        if (opcode == 8) {
            if (length == 1) return fail(1002);
            if (length >= 2) {
                const unsigned code = static_cast<unsigned char>(told.payload[0]) * 256U +
                                      static_cast<unsigned char>(told.payload[1]);
                // RFC 6455 section 7.4 and IANA's registry; codes below 3000 that nobody has
                // defined are refused.
                const bool is_defined = (code >= 1000 && code <= 1003) ||
                                        (code >= 1007 && code <= 1014) ||
                                        (code >= 3000 && code <= 4999);
                if (!is_defined) return fail(1002);
                std::size_t begin = 2;
                if (check_text(told.payload, begin) != text_e::WHOLE) return fail(1007);
            }
            is_closed_ = true;  // nothing behind it counts
        }
        events_.push_back(std::move(told));
        return true;
    }

    bool data(bool is_final, std::uint64_t length, std::size_t header_size) {
        const bool is_complete = bytes_.size() - at_ >= length;
        const std::string_view payload = bytes_.substr(
            at_, is_complete ? static_cast<std::size_t>(length) : std::string_view::npos);
        at_ += payload.size();
        std::vector<unsigned> wrong;
        if (is_deflated_) {
            wrong = inflate(payload, is_final && is_complete);
        } else {
            message_ += payload;
            if (is_text_ && check_text(message_, checked_) == text_e::BAD) wrong.push_back(1007);
        }
        if (!wrong.empty()) {
            // A deflated frame may be left alone until it is complete.
            if (is_deflated_ && !is_complete && header_size + length < small_frame)
                wrong.push_back(0);
            verdicts_ = std::move(wrong);
            return false;
        }
        if (!is_complete) return false;
        if (is_final && is_text_ && check_text(message_, checked_) != text_e::WHOLE)
            return fail(1007);
        tell(is_final);
        return true;
    }

    /// Every rule that this frame's payload breaks. With more than one it is open which is found
    /// first: it depends on how much is inflated before it is looked at. What lies further behind
    /// the first than one such piece is never found.
    std::vector<unsigned> inflate(std::string_view payload, bool ends_message) {
        std::string bytes(payload);
        if (ends_message) bytes += std::string_view("\x00\x00\xff\xff", 4);  // section 7.2.2
        std::vector<unsigned> wrong;
        const auto note = [&wrong](unsigned code) {
            if (std::count(wrong.begin(), wrong.end(), code) == 0) wrong.push_back(code);
        };
        std::size_t most = offered_.max_size + most_inflated_at_once;
        for (const char byte : bytes) {
            const bool is_fine = inflater_->take(byte, message_, most);
            const bool is_first = wrong.empty();
            if (message_.size() > offered_.max_size) note(1009);
            if (is_text_ && check_text(message_, checked_) == text_e::BAD) note(1007);
            if (is_first && !wrong.empty()) most = message_.size() + most_inflated_at_once;
            if (!is_fine) note(1002);
            if (!is_fine || message_.size() > most) break;
        }
        if (ends_message && opened_.server_no_context_takeover && wrong.empty())
            inflater_->forget();
        return wrong;
    }

    void tell(bool is_final) {
        if (is_final && told_ == 0) {
            events_.push_back({event::kind_e::MESSAGE, message_, is_text_});
        } else if (offered_.fragments) {
            events_.push_back(
                {event::kind_e::FRAGMENT, message_.substr(taken_), is_text_, told_ == 0, is_final});
        }
        if (offered_.fragments) {
            ++told_;
            taken_ = message_.size();
        }
        if (!is_final) return;
        in_message_ = false;
        told_ = taken_ = 0;
    }

    std::string_view bytes_;
    const offer& offered_;
    const opening& opened_;
    std::optional<inflater> inflater_;
    std::size_t at_ = 0;
    bool in_message_ = false;
    bool is_text_ = false;
    bool is_deflated_ = false;
    bool is_closed_ = false;
    std::string message_;
    std::size_t checked_ = 0;  // of its text: whole characters
    std::size_t told_ = 0;     // fragments
    std::size_t taken_ = 0;    // bytes in them
    std::vector<event> events_;
    std::vector<unsigned> verdicts_;
};

}  // namespace

/// A head is judged when it is complete. Before, it only has to begin as HTTP does, and to stay
/// below its bound.
opening read_answer(std::string_view bytes, const offer& offered) {
    std::size_t at = 0;
    while (true) {
        opening answer;
        // An interim answer (1xx but 101) is followed by another one.
        const std::size_t begin = at;
        std::vector<std::string> lines(1);
        bool is_complete = false;
        while (at < bytes.size() && !is_complete) {
            const char c = bytes[at++];
            if (c != '\n') {
                lines.back() += c;
                continue;
            }
            if (!lines.back().empty() && lines.back().back() == '\r') lines.back().pop_back();
            is_complete = lines.back().empty();
            if (!is_complete) lines.emplace_back();
        }
        answer.end = opening::end_e::BROKEN;
        if (at > most_head) return answer;  // the bound is of all answers together
        if (!is_complete) {
            const bool is_http = at - begin < 5 || bytes.substr(begin, 5) == "HTTP/";
            if (is_http) answer.end = opening::end_e::WAITING;
            return answer;
        }
        lines.pop_back();
        if (lines.empty()) return answer;
        answer.status = status_of(lines[0]);
        if (answer.status < 0) return answer;
        for (std::size_t i = 1; i < lines.size(); ++i)
            if (!read_field(lines[i], answer)) return answer;
        if (answer.status != 101 && answer.status < 200) continue;
        if (answer.status != 101 && !read_body(bytes.substr(at), answer)) return answer;
        answer.size = at;
        answer.end = opens(answer, offered) ? opening::end_e::OPEN : opening::end_e::REFUSED;
        return answer;
    }
}

frames read_frames(std::string_view bytes, const offer& offered, const opening& opened,
                   int window_bits) {
    return reader(bytes, offered, opened, window_bits).read();
}

}  // namespace wspool::fuzz::slow
