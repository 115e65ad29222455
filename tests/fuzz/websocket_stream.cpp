#include "websocket_stream.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <zlib.h>

namespace wspool::fuzz {
namespace {

/// An input does not become more than this, lest it be slow.
constexpr std::size_t longest_stream = 192 * 1024;
/// Nor is it cut in more pieces: each is copied with what is left of the one before.
constexpr std::size_t most_pieces = 4096;

class byte_source {
public:
    byte_source(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

    [[nodiscard]] bool is_empty() const { return at_ == end_; }
    unsigned byte() { return is_empty() ? 0U : *at_++; }
    unsigned two() {
        const unsigned low = byte();
        return low | byte() << 8U;
    }
    std::string take(std::size_t count) {
        count = std::min(count, static_cast<std::size_t>(end_ - at_));
        std::string taken(reinterpret_cast<const char*>(at_), count);
        at_ += count;
        return taken;
    }

private:
    const std::uint8_t* at_;
    const std::uint8_t* end_;
};

/// What a server deflates with.
class deflating {
public:
    explicit deflating(int window_bits) {
        if (deflateInit2(&stream_, 6, Z_DEFLATED, -window_bits, 4, Z_DEFAULT_STRATEGY) != Z_OK)
            std::abort();
    }
    ~deflating() { deflateEnd(&stream_); }
    deflating(const deflating&) = delete;
    deflating& operator=(const deflating&) = delete;

    /// With `is_last`, in a last block (BFINAL) and a byte for the empty one behind it (RFC 7692
    /// section 7.2.3.4), and what follows refers to nothing before.
    std::string deflate(const std::string& text, bool is_last, bool forget, bool keep_tail) {
        std::string out(deflateBound(&stream_, static_cast<uLong>(text.size())) + 64, '\0');
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
        stream_.avail_in = static_cast<uInt>(text.size());
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out.size());
        ::deflate(&stream_, is_last ? Z_FINISH : Z_SYNC_FLUSH);
        out.resize(out.size() - stream_.avail_out);
        if (is_last) out += '\0';
        if (is_last || forget) deflateReset(&stream_);
        const std::string_view tail("\x00\x00\xff\xff", 4);
        if (!is_last && !keep_tail && out.size() >= 4 && out.substr(out.size() - 4) == tail)
            out.resize(out.size() - 4);
        return out;
    }

private:
    z_stream stream_{};
};

/// RFC 6455 section 5.2; `wrong` breaks rules: 1 masks, 2 writes the length in a longer form, 4
/// says one byte more than there is, 8 says a very large length.
std::string frame(unsigned head, const std::string& payload, unsigned wrong) {
    std::uint64_t length = payload.size();
    if ((wrong & 4U) != 0) ++length;
    if ((wrong & 8U) != 0) length |= (wrong & 16U) != 0 ? 1ULL << 63U : 1ULL << 40U;
    int form = length < 126 ? 0 : length <= 0xFFFF ? 2 : 8;
    if ((wrong & 2U) != 0) form = form == 0 ? 2 : 8;
    std::string out;
    out += static_cast<char>(head);
    const unsigned mask = (wrong & 1U) != 0 ? 0x80U : 0U;
    out += static_cast<char>(mask | (form == 0   ? static_cast<unsigned>(length)
                                     : form == 2 ? 126U
                                                 : 127U));
    for (int shift = 8 * (form - 1); shift >= 0; shift -= 8)
        out += static_cast<char>(length >> static_cast<unsigned>(shift));
    return out + payload;
}

/// Makes frames out of recipes. Each begins with two bytes: the frame's first one, and
///
///     1 and 2      the payload: 0 literal (a byte that says how many follow, and they), 1 one byte
///                  many times (that, and how often in two bytes), 2 text in several scripts (where
///                  it begins, and its length in two bytes), 3 the last one again
///     4            deflated: RSV1 is turned over
///     8            with a last block at its end
///     16           a byte follows that breaks the header (see `frame`)
///     32           a byte follows that cuts the message: into how many frames (2 to 5) with its
///                  lower half, and with 8 a ping in between
///     64           with a window that was not agreed on
///     128          with the four bytes at its end that may go
class recipe {
public:
    recipe(byte_source& source, int window_bits, bool forget)
        : source_(source), window_bits_(std::max(window_bits, 9)), forget_(forget) {}

    void append(std::string& out) {
        const unsigned head = source_.byte();
        const unsigned how = source_.byte();
        const unsigned wrong = (how & 16U) != 0 ? source_.byte() : 0U;
        const unsigned cut = (how & 32U) != 0 ? source_.byte() : 0U;
        if ((how & 3U) != 3U) plain_ = payload(how & 3U);
        std::string sent = plain_;
        if ((how & 4U) != 0) {
            auto& by = (how & 64U) != 0 ? wide_ : agreed_;
            if (!by) by = std::make_unique<deflating>((how & 64U) != 0 ? 15 : window_bits_);
            sent = by->deflate(plain_, (how & 8U) != 0, forget_, (how & 128U) != 0);
        }
        const unsigned first = (how & 4U) != 0 ? head ^ 0x40U : head;
        if ((how & 32U) == 0) {
            out += frame(first, sent, wrong);
            return;
        }
        const std::size_t count = 2 + (cut & 3U);
        const std::size_t step = sent.size() / count;
        for (std::size_t i = 0; i < count; ++i) {
            const bool is_last = i + 1 == count;
            const unsigned opcode = i == 0 ? first & 0x7FU : 0U;
            const unsigned final = is_last ? first & 0x80U : 0U;
            if (i == 1 && (cut & 8U) != 0) out += frame(0x89, "between", 0);
            out += frame(opcode | final, sent.substr(i * step, is_last ? std::string::npos : step),
                         is_last ? wrong : 0U);
        }
    }

private:
    std::string payload(unsigned kind) {
        if (kind == 0) return source_.take(source_.byte());
        if (kind == 1) {
            const char byte = static_cast<char>(source_.byte());
            return std::string(source_.two() & 0x7FFFU, byte);
        }
        static const std::string sample =
            "ASCII \xC3\xA9t\xC3\xA9 \xCE\xBA\xCF\x8C\xCF\x83\xCE\xBC\xCE\xB5 \xE2\x82\xAC "
            "\xE6\x97\xA5\xE6\x9C\xAC \xED\x9F\xBF \xEE\x80\x80 \xF0\x9F\x98\x80 \xF4\x8F\xBF\xBF;";
        const std::size_t begin = source_.byte() % sample.size();
        const std::size_t length = source_.two() & 0x3FFFU;
        std::string text;
        while (text.size() < begin + length) text += sample;
        return text.substr(begin, length);
    }

    byte_source& source_;
    int window_bits_;
    bool forget_;
    std::string plain_;
    std::unique_ptr<deflating> agreed_;
    std::unique_ptr<deflating> wide_;
};

struct answer_script {
    unsigned what = 0;
    int server_window_bits = 15;
    int client_window_bits = 15;
};

/// What a server answers that agrees, unless it is told not to heed the offer.
std::string answer_text(const answer_script& script, const options_t& options) {
    std::string text;
    if ((script.what & 64U) != 0) text += "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    text += "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    text += "Sec-WebSocket-Accept: " + fixed_accept + "\r\n";
    const bool heeds = (script.what & 128U) == 0;
    const auto& offer = options.deflate;
    if ((script.what & 1U) != 0 && (options.deflate.enabled || !heeds)) {
        text += "Sec-WebSocket-Extensions: permessage-deflate";
        if ((script.what & 2U) != 0 || (heeds && offer.server_no_context_takeover))
            text += "; server_no_context_takeover";
        if ((script.what & 4U) != 0) text += "; client_no_context_takeover";
        if ((script.what & 8U) != 0 || (heeds && offer.server_max_window_bits < 15))
            text += "; server_max_window_bits=" + std::to_string(script.server_window_bits);
        if ((script.what & 16U) != 0)
            text += "; client_max_window_bits=" + std::to_string(script.client_window_bits);
        text += "\r\n";
    }
    if ((script.what & 32U) != 0 && (!options.subprotocols.empty() || !heeds))
        text += "Sec-WebSocket-Protocol: second\r\n";
    return text + "\r\n";
}

void edit(std::string& text, byte_source& source) {
    const std::size_t at = source.byte() * text.size() / 256;
    const unsigned what = source.byte();
    const char byte = static_cast<char>(source.byte());
    switch (what % 4) {
        case 0:
            if (at < text.size()) text[at] = byte;
            break;
        case 1:
            text.insert(at, 1, byte);
            break;
        case 2:
            text.erase(at, 1 + what / 4);
            break;
        default:  // a piece of it again, so that whole header lines may be there twice
            text.insert(at, text.substr(static_cast<unsigned char>(byte) * text.size() / 256,
                                        1 + what / 4));
    }
}

}  // namespace

const std::string fixed_key = "dGhlIHNhbXBsZSBub25jZQ==";
const std::string fixed_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

connection_script read_script(const std::uint8_t* data, std::size_t size) {
    byte_source source(data, size);
    connection_script script;
    const unsigned how = source.byte();
    const unsigned windows = source.byte();
    script.options.deflate.enabled = (how & 2U) != 0;
    script.fragments = (how & 4U) != 0;
    script.options.deflate.server_no_context_takeover = (how & 8U) != 0;
    script.options.deflate.client_no_context_takeover = (how & 16U) != 0;
    script.counts_memory = (how & 32U) != 0;
    if ((how & 64U) != 0) script.options.subprotocols = {"first", "second"};
    auto& offer = script.options.deflate;
    offer.server_max_window_bits = 8 + static_cast<int>(windows & 7U);
    offer.client_max_window_bits = 9 + static_cast<int>((windows >> 4U) % 7U);
    const unsigned size_code = source.two();
    script.options.max_size = size_code < 0xFF00U ? size_code : (size_code & 0xFFU) * 4096;
    for (unsigned left = source.byte() & 15U; left > 0; --left) {
        const std::size_t code = source.byte();
        script.pieces.push_back(code < 200 ? code + 1 : (code - 199) * 128);
    }

    int window_bits = 15;
    bool forget = false;
    if ((how & 1U) == 0) {
        answer_script answer;
        answer.what = source.byte();
        const unsigned answered = source.byte();
        const bool heeds = (answer.what & 128U) == 0;
        answer.server_window_bits = 8 + static_cast<int>(answered & 7U);
        answer.client_window_bits = 8 + static_cast<int>((answered >> 4U) & 7U);
        if (heeds) {
            answer.server_window_bits =
                std::min(answer.server_window_bits, offer.server_max_window_bits);
            answer.client_window_bits =
                std::min(answer.client_window_bits, offer.client_max_window_bits);
        }
        window_bits = answer.server_window_bits;
        forget = (answer.what & 2U) != 0 || offer.server_no_context_takeover;
        script.bytes = answer_text(answer, script.options);
        for (unsigned left = source.byte() & 7U; left > 0; --left) edit(script.bytes, source);
    }
    if ((how & 128U) == 0) {
        script.bytes += source.take(size);
    } else {
        recipe frames(source, window_bits, forget);
        while (!source.is_empty() && script.bytes.size() < longest_stream)
            frames.append(script.bytes);
    }
    const std::size_t least = script.bytes.size() / most_pieces;
    for (std::size_t& piece : script.pieces) piece = std::max(piece, least);
    return script;
}

}  // namespace wspool::fuzz
