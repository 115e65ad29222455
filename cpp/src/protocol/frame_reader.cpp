#include "protocol/frame_reader.hpp"

#include <algorithm>

namespace wspool::protocol {

namespace {
// A message's buffer is reserved up to here at once; beyond, it grows with what really arrives.
constexpr std::uint64_t max_reserve = 1024 * 1024;
}  // namespace

bool frame_reader::fail(unsigned code, const char* reason) {
    failure_ = {code, reason};
    return false;
}

/// RFC 6455 section 5.2, with every "MUST" that a client can check on the header alone.
frame_reader::parsed_e frame_reader::parse_header(const unsigned char* data, std::size_t size,
                                                  header& out) {
    const auto failed = [this](unsigned code, const char* reason) {
        fail(code, reason);
        return parsed_e::failed;
    };
    const unsigned first = data[0];
    const unsigned opcode = first & 0x0F;
    out.compressed = (first & 0x40) != 0;
    if ((first & 0x30) != 0 || (out.compressed && !inflater_)) {
        return failed(1002, "reserved bits must be 0");
    }
    if (opcode > 2 && (opcode < 8 || opcode > 10)) return failed(1002, "invalid opcode");
    out.opcode = static_cast<opcode_e>(opcode);
    out.final = (first & 0x80) != 0;
    const bool control = is_control(out.opcode);
    if (out.compressed && (control || out.opcode == opcode_e::continuation)) {
        return failed(1002, "reserved bits must be 0");  // RFC 7692 section 6
    }
    if (control && !out.final) return failed(1002, "fragmented control frame");
    if (!control) {
        const bool continues = out.opcode == opcode_e::continuation;
        if (continues && !in_message_) return failed(1002, "unexpected continuation frame");
        if (!continues && in_message_) return failed(1002, "expected a continuation frame");
    }
    if (size < 2) return parsed_e::incomplete;
    if ((data[1] & 0x80) != 0) return failed(1002, "masked frame from the server");
    const unsigned short_length = data[1] & 0x7F;
    if (control && short_length > max_control_payload) {
        return failed(1002, "control frame too long");
    }
    const std::size_t length_bytes = short_length < 126 ? 0 : short_length == 126 ? 2 : 8;
    out.size = 2 + length_bytes;
    if (size < out.size) return parsed_e::incomplete;
    out.length = short_length;
    if (length_bytes != 0) {
        out.length = 0;
        for (std::size_t i = 0; i < length_bytes; ++i) out.length = out.length << 8 | data[2 + i];
        if (out.length < (length_bytes == 2 ? 126U : 0x10000U)) {
            return failed(1002, "length not in its shortest form");
        }
        if ((out.length >> 63) != 0) return failed(1002, "invalid length");
    }
    // A deflated message is bounded as it is inflated. But what deflates to twice its largest size
    // and more is none: stored blocks and flushes add a few percent.
    const bool deflated = out.opcode == opcode_e::continuation ? is_compressed_ : out.compressed;
    const bool too_long =
        deflated ? out.length > 1024 && (out.length - 1024) / 2 > max_size_ : out.length > room();
    if (!control && too_long) {
        return failed(1009, "message too big");
    }
    return parsed_e::complete;
}

/// What nearly all traffic is made of, in a loop of its own: unfragmented messages, not deflated,
/// that lie whole in the input. Stops before anything else, which the rest of the reader judges.
std::size_t frame_reader::take_slices(const char* data, std::size_t size,
                                      std::vector<message_view_t>& out, std::int64_t received_ns) {
    constexpr unsigned final_text = 0x81;
    constexpr unsigned final_binary = 0x82;
    const std::size_t most = room();
    std::size_t payload_bytes = 0;
    std::size_t at = 0;
    while (size - at >= 2) {
        const auto* const head = reinterpret_cast<const unsigned char*>(data + at);
        const bool is_text = head[0] == final_text;
        if (!is_text && head[0] != final_binary) break;
        std::size_t length = head[1];
        std::size_t header_size = 2;
        if (length == 126) {
            header_size = 4;
            if (size - at < header_size) break;
            length = static_cast<std::size_t>(head[2]) << 8 | head[3];
            if (length < 126) break;  // not in its shortest form
        } else if (length == 127) {
            header_size = 10;
            if (size - at < header_size) break;
            length = 0;
            for (int i = 2; i < 10; ++i) length = length << 8 | head[i];
            if (length <= 0xFFFF) break;  // as above
        } else if (length > 127) {
            break;  // masked
        }
        if (length > most || size - at - header_size < length) break;
        const char* const payload = data + at + header_size;
        const text_check_t text = is_text ? check_text(payload, length) : text_check_t{true, false};
        if (!text.is_valid) {
            fail(1007, "invalid UTF-8 in text");
            break;
        }
        out.push_back(
            {{payload, length}, received_ns, is_text, text.is_ascii, true, true, generation_});
        at += header_size + length;
        payload_bytes += length;
    }
    payload_bytes_ += payload_bytes;
    if (at != 0 && peeked_bytes_ != 0) {
        peeked_.reset();
        peeked_bytes_ = 0;
    }
    return at;
}

std::size_t frame_reader::consume(const char* data, std::size_t size,
                                  std::vector<message_view_t>& out, std::int64_t received_ns) {
    has_control_ = false;
    held_back_ = false;
    std::size_t at = 0;
    while (at < size && !failure_) {
        if (may_inflate_ == 0 && !in_frame_) {
            held_back_ = true;
            break;
        }
        if (!in_message_) {
            at += take_slices(data + at, size - at, out, received_ns);
            if (at == size || failure_) break;
        }
        if (in_frame_) {
            const auto piece =
                static_cast<std::size_t>(std::min<std::uint64_t>(size - at, frame_left_));
            if (!take(data + at, piece)) break;
            at += piece;
            frame_left_ -= piece;
            if (frame_left_ == 0 && !finish_frame(frame_final_)) break;
            continue;
        }
        header frame;
        const char* start = data + at;
        const auto parsed =
            parse_header(reinterpret_cast<const unsigned char*>(start), size - at, frame);
        if (parsed != parsed_e::complete) break;
        const char* payload = start + frame.size;
        const std::size_t available = size - at - frame.size;
        if (available >= frame.length) {
            at += frame.size + static_cast<std::size_t>(frame.length);
            if (is_control(frame.opcode)) {
                control_opcode_ = frame.opcode;
                control_payload_ = {payload, static_cast<std::size_t>(frame.length)};
                if (frame.opcode == opcode_e::close && !check_close(control_payload_)) break;
                has_control_ = true;
                return at;
            }
            if (!whole_frame(frame, payload)) break;
        } else if (frame.size + frame.length < small_frame) {
            if (!is_control(frame.opcode)) peek_text(frame, payload, available);
            break;
        } else {
            begin_data(frame);
            if (!is_compressed_) {
                message_.reserve(message_.size() +
                                 static_cast<std::size_t>(std::min(frame.length, max_reserve)));
            }
            frame_left_ = frame.length;
            frame_final_ = frame.final;
            in_frame_ = true;
            at += frame.size;
        }
    }
    return at;
}

void frame_reader::begin_data(const header& frame) {
    if (frame.opcode != opcode_e::continuation) {
        in_message_ = true;
        is_text_ = frame.opcode == opcode_e::text;
        is_compressed_ = frame.compressed;
        utf8_.reset();
        empty_in_a_row_ = 0;
    }
    size_before_ = handed_out_ + message_.size();
    peeked_.reset();
    peeked_bytes_ = 0;
}

bool frame_reader::take(const char* data, std::size_t size) {
    if (!is_compressed_) return take_plain(data, size);
    std::size_t left = room();
    return inflated(inflater_->inflate(
        data, size, left,
        [this](const char* out, std::size_t count) { return take_inflated(out, count); }));
}

bool frame_reader::take_inflated(const char* data, std::size_t size) {
    may_inflate_ -= std::min(may_inflate_, size);
    return take_plain(data, size);
}

bool frame_reader::take_plain(const char* data, std::size_t size) {
    if (is_text_ && !utf8_.consume(data, size)) return fail(1007, "invalid UTF-8 in text");
    message_.append(data, size);
    return true;
}

bool frame_reader::inflated(inflater::result_e result) {
    if (result == inflater::result_e::too_big) return fail(1009, "message too big");
    if (result == inflater::result_e::corrupt) return fail(1002, "invalid deflated data");
    return !failure_;
}

bool frame_reader::finish_frame(bool final) {
    in_frame_ = false;
    if (!final) {
        // A message that never ends and never grows: no bound on sizes would ever end it, and as
        // the peer is not silent, no keepalive.
        empty_in_a_row_ = handed_out_ + message_.size() == size_before_ ? empty_in_a_row_ + 1 : 0;
        if (empty_in_a_row_ > most_empty_fragments) return fail(1008, "too many empty fragments");
        if (fragments_) hand_out(false);
        return true;
    }
    if (is_compressed_) {
        std::size_t left = room();
        if (!inflated(inflater_->finish(left, [this](const char* out, std::size_t count) {
                return take_inflated(out, count);
            }))) {
            return false;
        }
    }
    if (is_text_ && !utf8_.complete()) return fail(1007, "text ends inside a character");
    in_message_ = false;
    hand_out(true);
    return true;
}

/// What the message may still grow by.
std::size_t frame_reader::room() const {
    return max_size_ - std::min(max_size_, handed_out_ + message_.size());
}

void frame_reader::hand_out(bool final) {
    handed_out_ += message_.size();
    payload_bytes_ += message_.size();
    if (final && !any_fragment_out_ && message_.size() < long_message) {
        sink_.on_joined(std::string_view(message_), is_text_);
        message_.clear();
        if (message_.capacity() > long_message) message_ = std::string();
    } else {
        if (final && !any_fragment_out_)
            sink_.on_joined(std::move(message_), is_text_);
        else
            sink_.on_fragment(std::move(message_), is_text_, !any_fragment_out_, final);
        message_ = std::string();
    }
    any_fragment_out_ = !final;
    if (final) handed_out_ = 0;
}

bool frame_reader::whole_frame(const header& frame, const char* payload) {
    begin_data(frame);
    return take(payload, static_cast<std::size_t>(frame.length)) && finish_frame(frame.final);
}

/// RFC 6455 sections 5.5.1 and 7.4.
bool frame_reader::check_close(std::string_view payload) {
    if (payload.empty()) return true;
    if (payload.size() == 1) return fail(1002, "close frame of one byte");
    const unsigned code =
        static_cast<unsigned char>(payload[0]) * 256U + static_cast<unsigned char>(payload[1]);
    if (!is_sendable_close_code(code)) return fail(1002, "invalid close code");
    if (!is_utf8(payload.data() + 2, payload.size() - 2)) {
        return fail(1007, "invalid UTF-8 in close reason");
    }
    return true;
}

/// Fails fast on bad text in a frame that is not complete yet (RFC 6455 section 8.1).
bool frame_reader::peek_text(const header& frame, const char* payload, std::size_t available) {
    const bool continues = frame.opcode == opcode_e::continuation;
    if (continues ? !is_text_ : frame.opcode != opcode_e::text) return true;
    if (continues ? is_compressed_ : frame.compressed) return true;
    if (peeked_bytes_ == 0 && continues) peeked_ = utf8_;
    if (!peeked_.consume(payload + peeked_bytes_, available - peeked_bytes_)) {
        return fail(1007, "invalid UTF-8 in text");
    }
    peeked_bytes_ = available;
    return true;
}

}  // namespace wspool::protocol
