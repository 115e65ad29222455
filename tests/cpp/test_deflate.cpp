#include <doctest/doctest.h>
#include <zlib.h>

#include <random>
#include <string>
#include <vector>

#include "protocol/deflate.hpp"
#include "protocol/frame_reader.hpp"
#include "support/frames.hpp"

using namespace wspool_test;
using namespace wspool::protocol;

namespace {

/// Deflates as another implementation would: zlib directly, with its own flushes.
std::string raw_deflate(std::string_view text, int flush = Z_SYNC_FLUSH, int window_bits = 15) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, flush);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    if (flush == Z_SYNC_FLUSH) out.resize(out.size() - 4);  // RFC 7692 section 7.2.1
    return out;
}

std::string compressed(std::string_view payload, unsigned opcode = 1, bool final = true) {
    frame_spec_t spec;
    spec.opcode = opcode;
    spec.final = final;
    spec.reserved = opcode == 0 ? 0 : 4;
    return frame(payload, spec);
}

struct outcome {
    std::vector<std::string> messages;
    unsigned failed = 0;
    std::size_t largest = 0;
    bool operator==(const outcome& other) const {
        return messages == other.messages && failed == other.failed;
    }
};

/// Feeds pieces of `step` bytes, giving the unconsumed rest again as the session does.
outcome read(const std::string& stream, std::size_t step, std::size_t max_size = 1U << 20,
             deflate_parameters parameters = {}) {
    struct collector final : message_sink {
        outcome result;
        std::vector<wspool::message_view_t> slices;
        /// In order: slices of the input wait until something else comes.
        void settle() {
            for (const auto& slice : slices) result.messages.emplace_back(slice.payload);
            slices.clear();
        }
        void on_joined(std::string_view payload, bool) override {
            settle();
            result.messages.emplace_back(payload);
        }
        void on_joined(std::string&& payload, bool) override {
            settle();
            result.messages.push_back(std::move(payload));
        }
        void on_fragment(std::string&&, bool, bool, bool) override { FAIL("not asked for"); }
    } sink;
    frame_reader reader(sink);
    reader.set_max_size(max_size);
    reader.set_deflate(parameters);
    std::string held;
    for (std::size_t at = 0; at < stream.size() && !reader.failed(); at += step) {
        held += stream.substr(at, step);
        std::size_t used = 0;
        do {
            used += reader.consume(held.data() + used, held.size() - used, sink.slices, 0);
            sink.settle();
        } while (reader.has_control() && used < held.size());
        held.erase(0, used);
    }
    sink.result.failed = reader.failed().close_code;
    return sink.result;
}

std::string noise(std::size_t size) {
    std::mt19937 random(7);
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>('a' + random() % 26);
    return bytes;
}

}  // namespace

TEST_CASE("deflate: messages and fragments inflate alike, however the bytes are cut") {
    const std::string first = "Hello, Hello, Hello, Hello";
    const std::string large = noise(9000) + std::string(9000, 'x');
    const std::string deflated = raw_deflate(large);
    const std::string stream = compressed(raw_deflate(first)) + text("not deflated") +
                               compressed(deflated.substr(0, 1000), 1, false) + ping("between") +
                               compressed(deflated.substr(1000, 10), 0, false) +
                               compressed(deflated.substr(1010), 0) +
                               compressed(raw_deflate(""), 2);
    const outcome whole = read(stream, stream.size());
    CHECK(whole.failed == 0);
    CHECK(whole.messages == std::vector<std::string>{first, "not deflated", large, ""});
    for (const std::size_t step : {1U, 2U, 3U, 7U, 100U, 4095U}) {
        CAPTURE(step);
        CHECK(read(stream, step) == whole);
    }
}

TEST_CASE("deflate: our messages inflate again, with and without context takeover") {
    for (const bool forget : {false, true}) {
        for (const int window_bits : {9, 12, 15}) {
            CAPTURE(forget);
            CAPTURE(window_bits);
            deflate_parameters parameters;
            parameters.client_no_context_takeover = parameters.server_no_context_takeover = forget;
            parameters.client_max_window_bits = parameters.server_max_window_bits = window_bits;
            deflater out(parameters, 1);
            std::string stream;
            std::vector<std::string> sent;
            std::size_t second = 0;
            for (int i = 0; i < 20; ++i) {
                sent.push_back(noise(300 + static_cast<std::size_t>(i % 2) * 20'000));
                const std::string deflated(out.deflate(sent.back()));
                if (i == 2) second = deflated.size();
                stream += compressed(deflated);
            }
            const outcome back = read(stream, 5000, 1U << 20, parameters);
            CHECK(back.failed == 0);
            CHECK(back.messages == sent);
            if (window_bits == 15) CHECK((second < 100) == !forget);  // the context is carried over
        }
    }
}

TEST_CASE("deflate: a window of 8 bits, which zlib cannot make, sends messages as they are") {
    deflate_parameters parameters;
    parameters.client_max_window_bits = 8;
    CHECK(deflater(parameters, 1).deflate(noise(500)).empty());
}

TEST_CASE("deflate: what inflates beyond max_size fails with 1009, before memory is spent") {
    const std::string bomb = raw_deflate(std::string(64U << 20, '\0'));
    CHECK(bomb.size() < 100'000);
    CHECK(read(compressed(bomb, 2), bomb.size() + 20, 1U << 20).failed == 1009);
    CHECK(read(compressed(bomb, 2), 100, 1U << 20).failed == 1009);
    const std::string fits = raw_deflate(std::string(1000, 'y'));
    CHECK(read(compressed(fits, 2), 4096, 1000).failed == 0);
    CHECK(read(compressed(fits, 2), 4096, 999).failed == 1009);
}

TEST_CASE("deflate: what one call inflates is bounded, and the rest waits for the next") {
    // A read may bring hundreds of messages that are a thousand times as large.
    struct counter final : message_sink {
        std::size_t count = 0;
        void on_joined(std::string_view, bool) override { ++count; }
        void on_joined(std::string&&, bool) override { ++count; }
        void on_fragment(std::string&&, bool, bool, bool) override { FAIL("not asked for"); }
    } sink;
    frame_reader reader(sink);
    reader.set_deflate({});
    std::string stream;
    for (int i = 0; i < 10; ++i) stream += compressed(raw_deflate(std::string(10'000, 'z')), 2);
    stream += frame("plain");
    std::vector<wspool::message_view_t> slices;
    std::size_t used = 0;
    std::vector<std::size_t> counts;
    do {
        reader.allow_inflating(25'000);
        used += reader.consume(stream.data() + used, stream.size() - used, slices, 0);
        counts.push_back(sink.count);
    } while (reader.is_held_back());
    CHECK(counts == std::vector<std::size_t>{3, 6, 9, 10});
    CHECK(used == stream.size());
    CHECK(slices.size() == 1);
    CHECK_FALSE(reader.failed());
}

TEST_CASE("deflate: corrupt data fails with 1002, text that is not UTF-8 with 1007") {
    CHECK(read(compressed("\xff\xff\xff\xff garbage"), 4096).failed == 1002);
    CHECK(read(compressed("\x07"), 4096).failed == 1002);  // a block type that does not exist
    CHECK(read(compressed(raw_deflate("caf\xc3")), 4096).failed == 1007);
    CHECK(read(compressed(raw_deflate("caf\xc3"), 2), 4096).failed == 0);
}

TEST_CASE("deflate: messages go on behind a block with BFINAL (RFC 7692 section 7.2.3.4)") {
    const std::string final_block = raw_deflate("the last block, the last block", Z_FINISH) + '\0';
    const std::string stream = compressed(final_block) + compressed(raw_deflate("and more"));
    CHECK(read(stream, 4096).messages ==
          std::vector<std::string>{"the last block, the last block", "and more"});

    // What follows refers to what came before, over many ends and a long message.
    const std::string before = noise(40'000);
    z_stream referring{};
    REQUIRE(deflateInit2(&referring, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    const std::string window = before.substr(before.size() - 32 * 1024);
    REQUIRE(deflateSetDictionary(&referring, reinterpret_cast<const Bytef*>(window.data()),
                                 static_cast<uInt>(window.size())) == Z_OK);
    const std::string again = window.substr(1000, 20'000);
    std::string packed(deflateBound(&referring, again.size()) + 64, '\0');
    referring.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(again.data()));
    referring.avail_in = static_cast<uInt>(again.size());
    referring.next_out = reinterpret_cast<Bytef*>(packed.data());
    referring.avail_out = static_cast<uInt>(packed.size());
    deflate(&referring, Z_SYNC_FLUSH);
    packed.resize(packed.size() - referring.avail_out - 4);
    deflateEnd(&referring);
    CHECK(packed.size() < 1000);
    std::string many = raw_deflate(before, Z_FINISH);
    for (int i = 0; i < 100; ++i) many += std::string("\x03\x00", 2);  // ends of nothing
    many += '\0';
    for (const std::size_t step : {std::size_t{1}, std::size_t{4096}, std::size_t{1} << 20}) {
        CHECK(read(compressed(many) + compressed(packed), step).messages ==
              std::vector<std::string>{before, again});
    }
}

TEST_CASE("deflate: RSV1 where it may not stand fails with 1002 (RFC 7692 section 6)") {
    frame_spec_t on_continuation;
    on_continuation.opcode = 0;
    on_continuation.reserved = 4;
    CHECK(read(compressed(raw_deflate("ab"), 1, false) + frame("", on_continuation), 4096).failed ==
          1002);
    frame_spec_t on_ping;
    on_ping.opcode = 9;
    on_ping.reserved = 4;
    CHECK(read(frame("", on_ping), 4096).failed == 1002);
    frame_spec_t rsv2;
    rsv2.reserved = 2;
    CHECK(read(frame("", rsv2), 4096).failed == 1002);
}

TEST_CASE("deflate: the server's answer is read strictly (RFC 7692 section 7.1)") {
    wspool::deflate_options_t offered;
    wspool::deflate_options_t narrow;
    narrow.server_max_window_bits = 10;
    narrow.client_max_window_bits = 11;
    narrow.server_no_context_takeover = true;
    CHECK(deflate_offer(offered) == "permessage-deflate; client_max_window_bits");
    CHECK(deflate_offer(narrow) ==
          "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; "
          "client_max_window_bits=11");
    const auto accepts = [](const wspool::deflate_options_t& options, const char* answer) {
        deflate_parameters parameters;
        std::string error;
        const bool fine = read_deflate_answer(answer, options, parameters, error);
        CHECK(fine == error.empty());
        return fine;
    };
    CHECK(accepts(offered, "permessage-deflate"));
    CHECK(accepts(offered, "permessage-deflate; server_max_window_bits=8"));
    CHECK(accepts(offered, "permessage-deflate ;client_max_window_bits=\"12\" "));
    CHECK(accepts(offered, "permessage-deflate; client_no_context_takeover"));
    for (const char* answer :
         {"x-webkit-deflate-frame", "permessage-deflate; unknown",
          "permessage-deflate; server_max_window_bits",
          "permessage-deflate; client_max_window_bits",
          "permessage-deflate; server_max_window_bits=7",
          "permessage-deflate; server_max_window_bits=16",
          "permessage-deflate; server_max_window_bits=010",
          "permessage-deflate; server_no_context_takeover=1",
          "permessage-deflate; client_no_context_takeover; client_no_context_takeover"}) {
        CAPTURE(answer);
        CHECK_FALSE(accepts(offered, answer));
    }
    CHECK(accepts(narrow,
                  "permessage-deflate; server_no_context_takeover; server_max_window_bits=10"));
    CHECK_FALSE(accepts(narrow, "permessage-deflate; server_no_context_takeover"));
    CHECK_FALSE(accepts(narrow, "permessage-deflate; server_max_window_bits=10"));
    CHECK_FALSE(accepts(
        narrow, "permessage-deflate; server_no_context_takeover; server_max_window_bits=11"));
}
