#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/deflate.hpp"
#include "protocol/frame.hpp"
#include "protocol/utf8.hpp"
#include "wspool/message_view.hpp"

namespace wspool::protocol {

/// Takes from a frame_reader what does not lie whole in its input.
class message_sink {
public:
    /// A short message put together from several reads or frames, or inflated. Valid in the call.
    virtual void on_joined(std::string_view payload, bool is_text) = 0;
    /// A long one, to be taken over.
    virtual void on_joined(std::string&& payload, bool is_text) = 0;
    /// A fragment of a message; only after `frame_reader::set_fragments`.
    virtual void on_fragment(std::string&& payload, bool is_text, bool first, bool final) = 0;

protected:
    ~message_sink() = default;
};

/// Why a connection must be failed (RFC 6455 section 7.1.7).
struct failure {
    unsigned close_code = 0;  ///< 0: nothing failed
    const char* reason = "";
    explicit operator bool() const { return close_code != 0; }
};

/// Reads a server's frames: bytes in, messages and control frames out. No I/O.
///
/// A message that lies whole in the input goes out as a slice of it, without a copy or a call. An
/// incomplete frame below `small_frame` is left unconsumed, for the caller to give again with
/// what follows; a larger one is taken in as it comes.
///
/// Thread safety: distinct objects: safe. Shared objects: unsafe.
class frame_reader {
public:
    /// What an unconsumed rest is smaller than.
    static constexpr std::size_t small_frame = 4096;
    /// What a message that was put together goes out in a string of its own from.
    static constexpr std::size_t long_message = 4096;
    /// So many fragments in a row may add nothing to their message. max_size bounds the others.
    static constexpr std::size_t most_empty_fragments = 64 * 1024;

    explicit frame_reader(message_sink& sink) : sink_(sink) {}

    /// Largest message in bytes.
    void set_max_size(std::size_t bytes) { max_size_ = bytes; }

    /// A message in several frames goes out frame by frame. `max_size` is still the message's.
    void set_fragments(bool on) { fragments_ = on; }

    /// Messages may come deflated from now on.
    void set_deflate(const deflate_parameters& parameters) {
        inflater_ = std::make_unique<inflater>(parameters);
    }

    /// What is written into each message; see `message_view_t`.
    void set_generation(std::uint32_t generation) { generation_ = generation; }
    [[nodiscard]] std::uint32_t generation() const { return generation_; }
    /// Of all data frames so far, inflated.
    [[nodiscard]] std::uint64_t payload_bytes() const { return payload_bytes_; }

    /// So many more bytes may be inflated by `consume`, and what it takes to end a frame: the peer
    /// makes a thousand of each that it sends, and who calls decides how many are wanted at once.
    void allow_inflating(std::size_t bytes) { may_inflate_ = bytes; }

    /// Reads frames until the input ends, a control frame is complete, no more may be inflated or
    /// something fails. Returns the bytes consumed; see `has_control()`, `is_held_back()` and
    /// `failed()`. Slices of the input are
    /// appended to `out`, stamped with `received_ns`; what else is found goes to the sink, which
    /// may append to it as well, so that the order is kept.
    std::size_t consume(const char* data, std::size_t size, std::vector<message_view_t>& out,
                        std::int64_t received_ns);

    /// True after `consume` stopped behind a frame because no more may be inflated. What is left of
    /// the input may then be of any size.
    [[nodiscard]] bool is_held_back() const { return held_back_; }
    /// True after `consume` stopped behind a control frame, until the next `consume`.
    [[nodiscard]] bool has_control() const { return has_control_; }
    [[nodiscard]] opcode_e control_opcode() const { return control_opcode_; }
    /// A slice of the input.
    [[nodiscard]] std::string_view control_payload() const { return control_payload_; }
    /// Copies the control frame's payload, so that it outlives the input.
    void keep_control() {
        kept_control_ = control_payload_;
        control_payload_ = kept_control_;
    }
    [[nodiscard]] failure failed() const { return failure_; }

private:
    struct header {
        opcode_e opcode = opcode_e::continuation;
        bool final = false;
        bool compressed = false;
        std::size_t size = 0;  // of the header
        std::uint64_t length = 0;
    };
    enum class parsed_e { complete, incomplete, failed };

    std::size_t take_slices(const char* data, std::size_t size, std::vector<message_view_t>& out,
                            std::int64_t received_ns);
    parsed_e parse_header(const unsigned char* data, std::size_t size, header& out);
    void begin_data(const header& frame);
    bool take(const char* data, std::size_t size);
    bool take_plain(const char* data, std::size_t size);
    bool take_inflated(const char* data, std::size_t size);
    bool inflated(inflater::result_e result);
    bool finish_frame(bool final);
    bool whole_frame(const header& frame, const char* payload);
    bool check_close(std::string_view payload);
    bool peek_text(const header& frame, const char* payload, std::size_t available);
    [[nodiscard]] std::size_t room() const;
    void hand_out(bool final);
    bool fail(unsigned code, const char* reason);

    message_sink& sink_;
    bool fragments_ = false;
    std::size_t max_size_ = static_cast<std::size_t>(-1);
    std::uint32_t generation_ = 1;
    std::uint64_t payload_bytes_ = 0;

    // The message being put together; valid while in_message_.
    bool in_message_ = false;
    bool is_text_ = false;
    bool is_compressed_ = false;
    std::string message_;            // what has not gone out
    std::size_t handed_out_ = 0;     // of the message, as fragments
    bool any_fragment_out_ = false;  // of the message
    std::size_t size_before_ = 0;    // of the message, without its latest fragment
    std::size_t empty_in_a_row_ = 0;
    utf8_validator utf8_;

    // The frame being taken in piece by piece; valid while in_frame_.
    bool in_frame_ = false;
    bool frame_final_ = false;
    std::uint64_t frame_left_ = 0;

    // A small frame seen in part: what of its text has been checked already.
    utf8_validator peeked_;
    std::size_t peeked_bytes_ = 0;

    std::size_t may_inflate_ = static_cast<std::size_t>(-1);
    bool held_back_ = false;

    bool has_control_ = false;
    opcode_e control_opcode_ = opcode_e::ping;
    std::string_view control_payload_;
    std::string kept_control_;
    failure failure_;
    std::unique_ptr<inflater> inflater_;
};

}  // namespace wspool::protocol
