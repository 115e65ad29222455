/// The client's side of a WebSocket without any I/O: the server's answer, frames, control frames
/// and deflate, in whatever pieces they come (see websocket_stream.hpp for what an input means).
/// The core is driven as a connection drives it, and compared with a slow reader that has all bytes
/// at once. It is run twice, with all bytes at once and in pieces. Both runs have to give what the
/// slow reader says, so that the pieces cannot matter, but where it says below that they may. A
/// third run counts memory.
///
/// Compared are: how the opening ends (waiting, broken, refused, open), its status, fields, body,
/// subprotocol and deflate's parameters; then messages, fragments and control frames in their
/// order, and whether the connection is failed, and with which close code.
///
/// What the RFCs leave open is settled so:
///
/// - The answer's head is judged when it is complete; before, it must begin as HTTP does. Which of
///   several things is wrong with it is not compared. Where RFC 9112 calls a body's framing an
///   error (section 6.3), the answer may be broken, and the body is not compared.
/// - Frames are judged in their order, and what is wrong with one hides all behind it. A rule that
///   a header breaks is found with the header's byte. A message that is not deflated is too big
///   (1009) as soon as a header says so; one that is, with a frame above twice the bound and 1 KB.
/// - A close frame's code must be one that RFC 6455 section 7.4 or IANA's registry defines, or from
///   3000 to 4999; the code is judged before the reason's text.
/// - Text that is not deflated fails (1007) with the first byte that no UTF-8 can have there, in an
///   incomplete frame as well. RFC 6455 section 8.1 would allow to wait.
/// - A deflated frame may break several rules: corrupt data (1002), bad text (1007), too big
///   (1009). Any of those may be found that lie within 32 KB, inflated, of the first; up to there
///   it depends on the pieces. Of an incomplete frame below 4 KB nothing need be found.
/// - A deflated message may end inside a block, and the next one goes on there: what RFC 7692
///   section 7.2.2 says, taken literally.
/// - A server that refers further back than the window that it agreed to has broken its word, but
///   nothing says that a client has to notice. It may fail (1002) with any message from the first
///   such reference on, or take it as if the window were 32 KB. With which one depends on the
///   pieces: zlib finds in its output buffer what its window does not hold.
///
/// All bytes lie in memory of exactly their size, so that a sanitizer sees every byte too far.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include <websocketpp/http/constants.hpp>

#include "fuzz_target.hpp"
#include "protocol/frame_reader.hpp"
#include "protocol/handshake.hpp"
#include "reference_websocket.hpp"
#include "websocket_stream.hpp"
#include "wspool/detail/handshake_messages.hpp"

// Only a build with AddressSanitizer has them; without, no memory is counted.
extern "C" {
int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, std::size_t),
                                              void (*)(const volatile void*)) __attribute__((weak));
std::size_t __sanitizer_get_allocated_size(const volatile void*) __attribute__((weak));
}

namespace wspool::fuzz {
namespace {

constexpr std::int64_t received_ns = 1'234'567;

[[noreturn]] void disagree(const std::string& what) {
    std::fprintf(stderr, "disagreement: %s\n", what.c_str());
    std::abort();
}

// --- memory

/// What the core holds, and the most that it ever held. Counts while a `scope` lives.
struct memory {
    static bool is_on;
    static std::ptrdiff_t held;
    static std::ptrdiff_t most;

    struct scope {
        explicit scope(bool on) { is_on = on; }
        ~scope() { is_on = false; }
        scope(const scope&) = delete;
        scope& operator=(const scope&) = delete;
    };

    /// False if nothing can be counted.
    static bool begin() {
        static const bool is_there =
            __sanitizer_install_malloc_and_free_hooks != nullptr &&
            __sanitizer_install_malloc_and_free_hooks(
                [](const volatile void*, std::size_t size) {
                    if (!is_on) return;
                    held += static_cast<std::ptrdiff_t>(size);
                    most = std::max(most, held);
                },
                [](const volatile void* from) {
                    if (is_on && from != nullptr)
                        held -= static_cast<std::ptrdiff_t>(__sanitizer_get_allocated_size(from));
                }) != 0;
        held = most = 0;
        return is_there;
    }
};
bool memory::is_on = false;
std::ptrdiff_t memory::held = 0;
std::ptrdiff_t memory::most = 0;

// --- the core

struct outcome {
    slow::opening opening;
    slow::frames frames;  // with one verdict
};

/// Does what a connection does with the bytes that it reads: see session_io.cpp, and
/// `handle_read_frame` in websocketpp_connection.cpp.
class client final : public protocol::message_sink {
public:
    client(const connection_script& script, bool counts_memory)
        : options_(script.options), counts_memory_(counts_memory), reader_(*this) {
        reader_.set_max_size(options_.max_size);
        reader_.set_fragments(script.fragments);
    }

    /// False if it wants no more.
    bool read(std::string_view piece) {
        if (result_.opening.end == slow::opening::end_e::WAITING) {
            const std::size_t used = read_answer(piece);
            if (result_.opening.end != slow::opening::end_e::OPEN)
                return result_.opening.end == slow::opening::end_e::WAITING;
            piece.remove_prefix(used);
        }
        return read_frames(piece);
    }

    outcome finish() {
        if (result_.opening.end == slow::opening::end_e::WAITING && !is_over_) {
            response_.end_of_stream();
            if (response_.headers_ready()) judge_answer();
        }
        result_.frames.verdicts = {reader_.failed().close_code};
        return std::move(result_);
    }

    void on_joined(std::string_view payload, bool is_text) override { keep(payload, is_text); }
    void on_joined(std::string&& payload, bool is_text) override { keep(payload, is_text); }
    void on_fragment(std::string&& payload, bool is_text, bool first, bool final) override {
        check_size(payload);
        settle();
        if (counts_memory_) return;
        result_.frames.events.push_back(
            {slow::event::kind_e::FRAGMENT, std::move(payload), is_text, first, final});
    }

private:
    using view_list_t = std::vector<message_view_t>;

    /// Returns how many bytes were the answer's.
    std::size_t read_answer(std::string_view piece) {
        const std::unique_ptr<char[]> exact(new char[piece.size()]);
        std::memcpy(exact.get(), piece.data(), piece.size());
        std::size_t used = 0;
        try {
            used = response_.consume(exact.get(), piece.size());
        } catch (const websocketpp::http::exception&) {
            if (response_.error().empty()) disagree("a broken answer without a word");
            result_.opening.end = slow::opening::end_e::BROKEN;
            return 0;
        }
        if (used > piece.size()) disagree("the answer has more bytes than there are");
        if (response_.headers_ready())
            judge_answer();
        else if (used != piece.size())
            disagree("the answer leaves bytes although it goes on");
        return used;
    }

    void judge_answer() {
        protocol::negotiated settled;
        const auto refused = protocol::check_response(response_, options_, fixed_key, settled);
        slow::opening& opening = result_.opening;
        opening.end = refused ? slow::opening::end_e::REFUSED : slow::opening::end_e::OPEN;
        opening.status = response_.status();
        opening.fields = response_.fields();
        opening.body = response_.body();
        if (refused) {
            if ((refused->Code() == error_e::STATUS) != (response_.status() != 101))
                disagree("the error of a refusal");
            return;
        }
        opening.subprotocol = settled.subprotocol;
        opening.deflate = settled.deflate.agreed;
        opening.server_no_context_takeover = settled.deflate.server_no_context_takeover;
        opening.client_no_context_takeover = settled.deflate.client_no_context_takeover;
        opening.server_max_window_bits = settled.deflate.server_max_window_bits;
        opening.client_max_window_bits = settled.deflate.client_max_window_bits;
        if (!settled.deflate.agreed) return;
        const memory::scope counting(counts_memory_);
        reader_.set_deflate(settled.deflate);
    }

    bool read_frames(std::string_view piece) {
        const std::size_t size = rest_.size() + piece.size();
        const std::unique_ptr<char[]> exact(new char[size]);
        if (!rest_.empty()) std::memcpy(exact.get(), rest_.data(), rest_.size());
        if (!piece.empty()) std::memcpy(exact.get() + rest_.size(), piece.data(), piece.size());
        // The shortest message has two bytes. That room is not the core's.
        views().reserve(size / 2 + 1);
        std::size_t used = 0;
        while (used < size) {
            if (is_over_) return false;  // nothing counts behind a close frame
            const std::size_t now = consume(exact.get() + used, size - used);
            if (now > size - used) disagree("more bytes consumed than there are");
            used += now;
            settle();
            if (reader_.failed()) {
                is_over_ = true;
                return false;
            }
            if (!reader_.has_control()) break;
            take_control();
        }
        if (!is_over_ && size - used >= protocol::frame_reader::small_frame)
            disagree("too much is left unconsumed");
        rest_.assign(exact.get() + used, size - used);
        return !is_over_;
    }

    std::size_t consume(const char* data, std::size_t size) {
        const memory::scope counting(counts_memory_);
        return reader_.consume(data, size, views(), received_ns);
    }

    void take_control() {
        slow::event event;
        switch (reader_.control_opcode()) {
            case protocol::opcode_e::ping:
                event.kind = slow::event::kind_e::PING;
                break;
            case protocol::opcode_e::pong:
                event.kind = slow::event::kind_e::PONG;
                break;
            case protocol::opcode_e::close:
                event.kind = slow::event::kind_e::CLOSE;
                is_over_ = true;
                break;
            default:
                disagree("a control frame that is none");
        }
        event.payload = reader_.control_payload();
        if (!counts_memory_) result_.frames.events.push_back(std::move(event));
    }

    /// As the session does, a message that the reader put together goes into the same list as the
    /// slices of the input, which keeps their order.
    void keep(std::string_view payload, bool is_text) {
        check_size(payload);
        if (counts_memory_) return;
        kept_.emplace_back(payload);
        views().push_back({kept_.back(), received_ns, is_text, false});
    }

    void check_size(std::string_view payload) const {
        if (payload.size() > options_.max_size) disagree("more than max_size goes out");
    }

    /// While what the views show is there.
    void settle() {
        for (const message_view_t& view : views()) {
            check_size(view.payload);
            if (view.received_ns != received_ns) disagree("the time of a message");
            if (!view.is_first || !view.is_final) disagree("a slice that is no whole message");
            const bool is_ascii = std::all_of(view.payload.begin(), view.payload.end(),
                                              [](char c) { return (c & 0x80) == 0; });
            if (view.is_ascii && !(view.is_text && is_ascii)) disagree("what is said to be ASCII");
            if (counts_memory_) continue;
            result_.frames.events.push_back(
                {slow::event::kind_e::MESSAGE, std::string(view.payload), view.is_text});
        }
        views().clear();
        kept_.clear();
    }

    /// One for all inputs, so that it seldom grows.
    static view_list_t& views() {
        static view_list_t list;
        return list;
    }

    const options_t& options_;
    bool counts_memory_;
    detail::handshake_response response_;
    protocol::frame_reader reader_;
    std::string rest_;
    std::list<std::string> kept_;
    bool is_over_ = false;
    outcome result_;
};

outcome run(const connection_script& script, bool in_pieces, bool counts_memory) {
    client one(script, counts_memory);
    std::string_view left = script.bytes;
    for (std::size_t i = 0; !left.empty(); ++i) {
        const std::size_t size = in_pieces ? script.pieces[i % script.pieces.size()] : left.size();
        if (!one.read(left.substr(0, size))) break;
        left.remove_prefix(std::min(size, left.size()));
    }
    return one.finish();
}

// --- the comparison

void compare(const slow::opening& got, const slow::opening& expected) {
    using end_e = slow::opening::end_e;
    if (expected.end == end_e::REFUSED && !expected.is_body_sure && got.end == end_e::BROKEN)
        return;
    if (got.end != expected.end) disagree("how the opening ends");
    if (got.end != end_e::OPEN && got.end != end_e::REFUSED) return;
    if (got.status != expected.status) disagree("the status");
    if (got.fields != expected.fields) disagree("the fields");
    if (got.end == end_e::REFUSED) {
        if (expected.is_body_sure && got.body != expected.body) disagree("the body");
        return;
    }
    if (got.subprotocol != expected.subprotocol) disagree("the subprotocol");
    if (got.deflate != expected.deflate) disagree("is there deflate");
    if (got.deflate && (got.server_no_context_takeover != expected.server_no_context_takeover ||
                        got.client_no_context_takeover != expected.client_no_context_takeover ||
                        got.server_max_window_bits != expected.server_max_window_bits ||
                        got.client_max_window_bits != expected.client_max_window_bits))
        disagree("deflate's parameters");
}

bool allows(const slow::frames& expected, unsigned verdict) {
    return std::count(expected.verdicts.begin(), expected.verdicts.end(), verdict) != 0;
}

bool begins(const std::vector<slow::event>& all, const std::vector<slow::event>& first) {
    return first.size() <= all.size() && std::equal(first.begin(), first.end(), all.begin());
}

/// Null if it is right; otherwise what is wrong.
const char* difference(const slow::frames& got, const slow::frames& expected) {
    if (got.events != expected.events)
        return begins(expected.events, got.events)   ? "an event is missing"
               : begins(got.events, expected.events) ? "an event too many"
                                                     : "the events";
    return allows(expected, got.verdicts[0]) ? nullptr : "the verdict";
}

void compare(const slow::frames& got, const slow::frames& expected, const slow::frames& strict) {
    const char* const what = difference(got, expected);
    if (what == nullptr) return;
    // A reference beyond the window: noticed by the strict reader first, or later, or never.
    if (got.verdicts[0] == 1002 && allows(strict, 1002) && begins(expected.events, got.events) &&
        begins(got.events, strict.events))
        return;
    std::string codes;
    for (const unsigned code : expected.verdicts) codes += " " + std::to_string(code);
    disagree(std::string(what) + ": " + std::to_string(got.events.size()) + " events and " +
             std::to_string(got.verdicts[0]) + ", not " + std::to_string(expected.events.size()) +
             " and one of" + codes);
}

}  // namespace

// With the NUL in front.
const std::string_view spoiling = {
    "\x00\x01\x02\x03\x08\x0A\x10\x20\x40\x7D\x7E\x7F\x80\x81\x82\x88\x89\xC1\xC3\xED\xF4"
    "\xFF:;=, \r\n158",
    32};

void check(const std::uint8_t* data, std::size_t size) {
    const connection_script script = read_script(data, size);
    slow::offer offer;
    offer.accept = fixed_accept;
    offer.deflate = script.options.deflate.enabled;
    offer.server_no_context_takeover = script.options.deflate.server_no_context_takeover;
    offer.client_no_context_takeover = script.options.deflate.client_no_context_takeover;
    offer.server_max_window_bits = script.options.deflate.server_max_window_bits;
    offer.client_max_window_bits = script.options.deflate.client_max_window_bits;
    offer.subprotocols = script.options.subprotocols;
    offer.max_size = script.options.max_size;
    offer.fragments = script.fragments;

    const slow::opening opening = slow::read_answer(script.bytes, offer);
    const outcome whole = run(script, false, false);
    compare(whole.opening, opening);
    outcome cut;
    if (!script.pieces.empty()) {
        cut = run(script, true, false);
        compare(cut.opening, opening);
        if (cut.opening.body != whole.opening.body) disagree("the body depends on the pieces");
    }
    if (opening.end != slow::opening::end_e::OPEN) return;

    const std::string_view bytes = std::string_view(script.bytes).substr(opening.size);
    // With a window of 32 KB nothing can lie further back.
    const slow::frames expected = slow::read_frames(bytes, offer, opening, 15);
    const slow::frames strict =
        opening.deflate && opening.server_max_window_bits < 15
            ? slow::read_frames(bytes, offer, opening, opening.server_max_window_bits)
            : expected;
    compare(whole.frames, expected, strict);
    if (!script.pieces.empty()) compare(cut.frames, expected, strict);

    if (!script.counts_memory || !memory::begin()) return;
    run(script, !script.pieces.empty(), true);
    // A string that grows holds what it had and, at most, twice that; zlib's state and window take
    // about 40 KB.
    constexpr std::size_t constant = 64 * 1024;
    if (static_cast<std::size_t>(memory::most) > 3 * script.options.max_size + constant)
        disagree("memory: " + std::to_string(memory::most) + " bytes for a max_size of " +
                 std::to_string(script.options.max_size));
}

}  // namespace wspool::fuzz
