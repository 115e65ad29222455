#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "protocol/frame_reader.hpp"
#include "support/frame_corpus.hpp"

using namespace wspool_test;
using wspool::protocol::frame_reader;
using wspool::protocol::opcode_e;

namespace {

/// Feeds a frame_reader as the session does: what was not consumed is given again, in front of
/// what comes next.
class feeder final : private wspool::protocol::message_sink {
public:
    explicit feeder(std::size_t max_size) { reader_.set_max_size(max_size); }

    void feed(std::string_view piece) {
        if (reader_.failed()) return;
        // A fresh allocation of the exact size, so that AddressSanitizer sees a read behind it.
        const std::vector<char> input = [&] {
            std::vector<char> joined(rest_.begin(), rest_.end());
            joined.insert(joined.end(), piece.begin(), piece.end());
            joined.shrink_to_fit();
            return joined;
        }();
        std::size_t used = 0;
        while (used < input.size()) {
            used += reader_.consume(input.data() + used, input.size() - used, slices_, 7);
            settle();
            if (reader_.failed()) return;
            if (!reader_.has_control()) break;
            const auto opcode = static_cast<unsigned>(reader_.control_opcode());
            events_ += described(opcode == 10 ? 'A' : static_cast<char>('0' + opcode),
                                 std::string(reader_.control_payload()));
        }
        rest_.assign(input.data() + used, input.size() - used);
        CHECK(rest_.size() < frame_reader::small_frame);
    }

    [[nodiscard]] const std::string& events() const { return events_; }
    [[nodiscard]] unsigned close_code() const { return reader_.failed().close_code; }

private:
    /// In order: slices of the input wait until something else comes.
    void settle() {
        for (const auto& slice : slices_) {
            CHECK(slice.received_ns == 7);
            CHECK(slice.is_ascii == (slice.is_text && is_ascii(slice.payload)));
            events_ += described(slice.is_text ? 'T' : 'B', std::string(slice.payload));
        }
        slices_.clear();
    }
    static bool is_ascii(std::string_view text) {
        return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
    }
    void on_joined(std::string_view payload, bool is_text) override {
        CHECK(payload.size() < frame_reader::long_message);
        settle();
        events_ += described(is_text ? 'T' : 'B', std::string(payload));
    }
    void on_joined(std::string&& payload, bool is_text) override {
        CHECK(payload.size() >= frame_reader::long_message);
        settle();
        events_ += described(is_text ? 'T' : 'B', payload);
    }
    void on_fragment(std::string&& payload, bool is_text, bool first, bool final) override {
        const std::string kind = std::string(first ? "first " : "next ") + (final ? "last " : "");
        events_ += kind + described(is_text ? 'T' : 'B', payload);
    }

    frame_reader reader_{*this};
    std::vector<wspool::message_view_t> slices_;
    std::string events_;
    std::string rest_;
};

void check(const frame_case_t& c, const feeder& f, const std::string& how) {
    INFO(c.name << ", " << how);
    CHECK(f.events() == c.events);
    CHECK(f.close_code() == c.close_code);
}

}  // namespace

TEST_CASE("frame_reader.consume: whole streams give the events and verdicts of RFC 6455") {
    // Section 5's MUSTs, one case each, see support/frame_corpus.cpp.
    for (const auto& c : frame_corpus()) {
        feeder f(c.max_size);
        f.feed(c.bytes);
        check(c, f, "whole");
    }
}

TEST_CASE("frame_reader.consume: byte by byte gives the same") {
    // TCP may cut anywhere, in the worst case everywhere.
    for (const auto& c : frame_corpus()) {
        if (c.bytes.size() > 20000) continue;
        feeder f(c.max_size);
        for (const char byte : c.bytes) f.feed({&byte, 1});
        check(c, f, "byte by byte");
    }
}

TEST_CASE("frame_reader.consume: cut in two at every position gives the same") {
    // A state that is lost at one position only would hide from the other tests.
    for (const auto& c : frame_corpus()) {
        const std::size_t step = c.bytes.size() > 3000 ? 997 : 1;
        for (std::size_t at = 0; at <= c.bytes.size(); at += step) {
            feeder f(c.max_size);
            f.feed(std::string_view(c.bytes).substr(0, at));
            f.feed(std::string_view(c.bytes).substr(at));
            check(c, f, "cut at " + std::to_string(at));
        }
    }
}

TEST_CASE("frame_reader.consume: behind whole frames, and in front of some, it is the same") {
    // Whole frames are read in a loop of their own, which must hand over at the right place.
    const std::string long_payload(70'000, 'x');
    const std::string before = text("one") + binary(std::string(300, 'b')) + text(long_payload);
    const std::string before_events =
        "T(one)" + described('B', std::string(300, 'b')) + described('T', long_payload);
    for (const auto& c : frame_corpus()) {
        if (c.max_size < long_payload.size()) continue;
        feeder f(c.max_size);
        f.feed(before + c.bytes);
        INFO(c.name);
        CHECK(f.events() == before_events + c.events);
        CHECK(f.close_code() == c.close_code);
        const bool complete = c.close_code == 0 && c.events.find("8(") == std::string::npos;
        feeder both(c.max_size);
        both.feed(before + c.bytes + before);
        if (complete && both.close_code() == 0)
            CHECK(both.events() == before_events + c.events + before_events);
        else if (!complete)
            CHECK(both.close_code() == c.close_code);
    }
}

TEST_CASE("frame_reader.consume: random cuts of long streams give the same") {
    // Many pieces meet many states: rests, pieces of long frames, fragments.
    std::mt19937 random(1);
    for (const auto& c : frame_corpus()) {
        if (c.bytes.size() < 3000) continue;
        for (int round = 0; round < 20; ++round) {
            feeder f(c.max_size);
            std::size_t at = 0;
            while (at < c.bytes.size()) {
                const std::size_t piece = 1 + random() % (round < 10 ? 700 : 5000);
                f.feed(std::string_view(c.bytes).substr(at, piece));
                at += piece;
            }
            check(c, f, "random round " + std::to_string(round));
        }
    }
}

TEST_CASE("frame_reader.consume: bad text fails at its first impossible byte") {
    // RFC 6455 section 8.1; Autobahn 6.4 asks for failing fast, also inside a frame.
    const std::string good = "\xCE\xBA\xE1\xBD\xB9";
    for (const std::size_t size : {60U, 60000U}) {
        frame_spec_t spec;
        spec.length = static_cast<std::int64_t>(size);
        const std::string bytes = frame(good + "\xF4\x90", spec);
        feeder f(1 << 20);
        for (std::size_t i = 0; i + 1 < bytes.size(); ++i) f.feed({&bytes[i], 1});
        CHECK(f.close_code() == 0);
        f.feed({&bytes.back(), 1});
        CHECK(f.close_code() == 1007);
    }
}

TEST_CASE("frame_reader.consume: a huge announced length reserves little memory") {
    // A header costs a peer ten bytes; it must not cost us gigabytes.
    feeder f(static_cast<std::size_t>(-1));
    frame_spec_t spec;
    spec.opcode = 2;
    spec.length = std::int64_t{1} << 40;
    f.feed(frame("abc", spec));
    CHECK(f.close_code() == 0);
    CHECK(f.events().empty());
}

TEST_CASE("frame_reader.consume: fragments that add nothing are bounded, in a row") {
    frame_spec_t first;
    first.final = false;
    frame_spec_t next = first;
    next.opcode = 0;
    for (const bool apart : {false, true}) {
        std::string nothing;
        for (std::size_t i = 0; i < frame_reader::most_empty_fragments - 1; ++i) {
            nothing += frame("", next);
        }
        feeder f(100);
        f.feed(frame("", first) + nothing);
        f.feed(apart ? frame("x", next) : std::string());
        CHECK(f.close_code() == 0);
        f.feed(frame("", next));
        CHECK(f.close_code() == (apart ? 0 : 1008));
        if (apart) f.feed(nothing);
        CHECK(f.close_code() == (apart ? 0 : 1008));
        if (apart) f.feed(frame("", next));
        CHECK(f.close_code() == 1008);
    }
}

TEST_CASE("frame_reader.consume: random bytes never read out of bounds and never hang") {
    // A peer may send anything; AddressSanitizer is the judge.
    std::mt19937 random(7);
    for (int round = 0; round < 3000; ++round) {
        feeder f(5000);
        for (int i = 0; i < 20 && f.close_code() == 0; ++i) {
            std::string piece(random() % 200, '\0');
            for (char& byte : piece)
                byte = static_cast<char>(random() % 3 == 0 ? 0x82 : random() % 128);
            f.feed(piece);
        }
    }
}
