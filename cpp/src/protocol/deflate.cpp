#include "protocol/deflate.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <new>

#include <zlib.h>

#include "protocol/text.hpp"

namespace wspool::protocol {

namespace {

constexpr std::size_t step_size = 32 * 1024;

/// Window bits: 8 to 15 in decimal without leading zeros, perhaps quoted (section 7.1.2).
bool read_window_bits(std::string_view value, int& out) {
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
        value = value.substr(1, value.size() - 2);
    }
    if (value.empty() || value.front() == '0') return false;
    const auto [stop, code] = std::from_chars(value.data(), value.data() + value.size(), out);
    return code == std::errc() && stop == value.data() + value.size() && out >= 8 && out <= 15;
}

}  // namespace

std::string deflate_offer(const deflate_options_t& options) {
    std::string offer = "permessage-deflate";
    if (options.server_no_context_takeover) offer += "; server_no_context_takeover";
    if (options.client_no_context_takeover) offer += "; client_no_context_takeover";
    if (options.server_max_window_bits < 15) {
        offer += "; server_max_window_bits=" + std::to_string(options.server_max_window_bits);
    }
    // Without a value the server may choose; with one it may only go below.
    offer += "; client_max_window_bits";
    if (options.client_max_window_bits < 15) {
        offer += "=" + std::to_string(options.client_max_window_bits);
    }
    return offer;
}

bool read_deflate_answer(std::string_view element, const deflate_options_t& options,
                         deflate_parameters& out, std::string& error) {
    const auto fail = [&error](std::string why) {
        error = std::move(why);
        return false;
    };
    out = deflate_parameters();
    out.client_max_window_bits = options.client_max_window_bits;
    std::size_t semicolon = element.find(';');
    if (!equals_ignoring_case(trimmed(element.substr(0, semicolon)), "permessage-deflate")) {
        return fail("the server chose an extension that was not offered");
    }
    std::vector<std::string_view> seen;
    while (semicolon != std::string_view::npos) {
        element.remove_prefix(semicolon + 1);
        semicolon = element.find(';');
        const std::string_view parameter = trimmed(element.substr(0, semicolon));
        const std::size_t equals = parameter.find('=');
        const bool has_value = equals != std::string_view::npos;
        const std::string_view name = trimmed(parameter.substr(0, equals));
        const std::string_view value =
            has_value ? trimmed(parameter.substr(equals + 1)) : std::string_view();
        if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
            return fail("permessage-deflate: a parameter stands twice");
        }
        seen.push_back(name);
        bool valid = false;
        if (name == "server_no_context_takeover") {
            valid = !has_value;
            out.server_no_context_takeover = true;
        } else if (name == "client_no_context_takeover") {
            valid = !has_value;
            out.client_no_context_takeover = true;
        } else if (name == "server_max_window_bits") {
            valid = read_window_bits(value, out.server_max_window_bits) &&
                    out.server_max_window_bits <= options.server_max_window_bits;
        } else if (name == "client_max_window_bits") {
            valid = read_window_bits(value, out.client_max_window_bits) &&
                    out.client_max_window_bits <= options.client_max_window_bits;
        }
        if (!valid) return fail("permessage-deflate: the server's parameters are invalid");
    }
    if (options.server_no_context_takeover && !out.server_no_context_takeover) {
        return fail("permessage-deflate: the server did not accept server_no_context_takeover");
    }
    if (options.server_max_window_bits < 15 &&
        std::find(seen.begin(), seen.end(), "server_max_window_bits") == seen.end()) {
        return fail("permessage-deflate: the server did not accept server_max_window_bits");
    }
    out.client_no_context_takeover |= options.client_no_context_takeover;
    out.agreed = true;
    return true;
}

// --- inflating

struct inflater::state {
    explicit state(int window_bits) {
        if (inflateInit2(&stream, -window_bits) != Z_OK) throw std::bad_alloc();
    }
    ~state() { inflateEnd(&stream); }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    /// After a block with BFINAL set (section 7.2.3.4) the next one may refer to what came before:
    /// the window stays. Taking it out and putting it back would be 64 KB of copying, for which a
    /// peer needs to send two bytes.
    bool restart() { return inflateResetKeep(&stream) == Z_OK; }

    z_stream stream{};
};

namespace {
/// Where a step's result lies until the next; nothing of it is kept, so a thread shares one.
std::array<char, step_size>& scratch() {
    thread_local std::array<char, step_size> buffer;
    return buffer;
}
}  // namespace

inflater::inflater(const deflate_parameters& parameters)
    // A larger window inflates all that a smaller one can; zlib has none below 9 for sending.
    : window_bits_(std::max(parameters.server_max_window_bits, 9)),
      forget_(parameters.server_no_context_takeover) {}

inflater::~inflater() = default;

void inflater::begin(const char* data, std::size_t size) {
    if (!state_) state_ = std::make_unique<state>(window_bits_);
    state_->stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data));
    state_->stream.avail_in = static_cast<uInt>(size);
}

inflater::result_e inflater::step(std::size_t room, const char*& out, std::size_t& count) {
    z_stream& stream = state_->stream;
    auto& buffer = scratch();
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    while (true) {
        const int result = ::inflate(&stream, Z_SYNC_FLUSH);
        if (result == Z_STREAM_END) {
            if (!state_->restart()) return result_e::corrupt;
            if (stream.avail_in != 0 && stream.avail_out != 0) continue;
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return result_e::corrupt;
        }
        break;
    }
    count = buffer.size() - stream.avail_out;
    out = buffer.data();
    return count > room ? result_e::too_big : result_e::done;
}

void inflater::end_message() {
    if (forget_) inflateReset(&state_->stream);
}

// --- deflating

struct deflater::state {
    state(int level, int window_bits) {
        // 16 KB of hash table and pending output, where zlib's default of 8 takes 128 KB.
        constexpr int memory_level = 5;
        if (deflateInit2(&stream, level, Z_DEFLATED, -window_bits, memory_level,
                         Z_DEFAULT_STRATEGY) != Z_OK) {
            throw std::bad_alloc();
        }
    }
    ~state() { deflateEnd(&stream); }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    z_stream stream{};
};

deflater::deflater(const deflate_parameters& parameters, int level)
    : window_bits_(parameters.client_max_window_bits),
      level_(level),
      forget_(parameters.client_no_context_takeover) {}

deflater::~deflater() = default;

std::string_view deflater::deflate(std::string_view message) {
    // zlib's deflate has no window of 8 bits (it takes 9 instead, which the peer may not inflate).
    if (window_bits_ < 9 || message.size() > std::numeric_limits<uInt>::max() / 2) return {};
    if (!state_) state_ = std::make_unique<state>(level_, window_bits_);
    z_stream& stream = state_->stream;
    if (forget_) deflateReset(&stream);
    out_.resize(deflateBound(&stream, static_cast<uLong>(message.size())) + 16);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(message.data()));
    stream.avail_in = static_cast<uInt>(message.size());
    stream.next_out = reinterpret_cast<Bytef*>(out_.data());
    stream.avail_out = static_cast<uInt>(out_.size());
    ::deflate(&stream, Z_SYNC_FLUSH);
    const std::size_t size = out_.size() - stream.avail_out;
    return {out_.data(), size - 4};  // without 00 00 FF FF (section 7.2.1)
}

}  // namespace wspool::protocol
