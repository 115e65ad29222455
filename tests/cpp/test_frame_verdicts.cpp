/// The same streams through websocketpp's own processor: wspool replaces it, so it must be as
/// strict, and differ only where websocketpp is known to be wrong.

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include <websocketpp/close.hpp>
#include <websocketpp/config/core_client.hpp>
#include <websocketpp/processors/hybi13.hpp>

#include "support/frame_corpus.hpp"

using namespace wspool_test;

namespace {

struct stock_config : public websocketpp::config::core_client {
    using type = stock_config;
    using base = websocketpp::config::core_client;
    using message_type = base::message_type;
    using con_msg_manager_type = base::con_msg_manager_type;
};
using stock_processor = websocketpp::processor::hybi13<stock_config>;

struct verdict_t {
    std::string events;
    int close_code = 0;
};

/// As websocketpp's connection does it: consume, hand out what is ready, and on a close frame
/// look into its payload. The bytes come in two reads, cut at `cut`.
verdict_t stock_verdict(const frame_case_t& c, std::size_t cut) {
    stock_config::rng_type random;
    const auto manager = std::make_shared<stock_config::con_msg_manager_type>();
    stock_processor processor(false, false, manager, std::ref(random));
    processor.set_max_message_size(c.max_size);
    verdict_t verdict;
    std::string bytes = c.bytes;
    std::size_t used = 0;
    while (used < bytes.size()) {
        websocketpp::lib::error_code error;
        const std::size_t end = used < cut ? cut : bytes.size();
        used += processor.consume(reinterpret_cast<std::uint8_t*>(&bytes[used]), end - used, error);
        if (error) {
            verdict.close_code = websocketpp::processor::error::to_ws(error);
            return verdict;
        }
        if (!processor.ready()) continue;
        const auto message = processor.get_message();
        const unsigned opcode = message->get_opcode();
        const std::string& payload = message->get_payload();
        verdict.events += described(opcode == 1    ? 'T'
                                    : opcode == 2  ? 'B'
                                    : opcode == 10 ? 'A'
                                                   : static_cast<char>('0' + opcode),
                                    payload);
        if (opcode == 8) {
            websocketpp::close::extract_code(payload, error);
            if (!error) websocketpp::close::extract_reason(payload, error);
            if (error) verdict.close_code = 1002;
        }
    }
    return verdict;
}

}  // namespace

TEST_CASE("frame verdicts: websocketpp's processor agrees but for its documented errors") {
    // websocketpp passes Autobahn's suite, so an undocumented difference is probably ours. Cut at
    // every position, as test_frame_reader cuts them for ours.
    int differences = 0;
    for (const auto& c : frame_corpus()) {
        const std::size_t step = c.bytes.size() > 3000 ? 997 : 1;
        const int expected = c.stock >= 0 ? c.stock : static_cast<int>(c.close_code);
        for (std::size_t cut = 0; cut <= c.bytes.size(); cut += step) {
            INFO(c.name << ", cut at " << cut);
            const verdict_t stock = stock_verdict(c, cut);
            CHECK(stock.close_code == expected);
            if (c.stock < 0 && c.close_code == 0) CHECK(stock.events == c.events);
        }
        if (c.stock >= 0) {
            ++differences;
            CHECK(c.stock_reason[0] != '\0');
        }
    }
    MESSAGE(differences << " documented differences in " << frame_corpus().size() << " streams");
}
