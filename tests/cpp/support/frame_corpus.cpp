#include "support/frame_corpus.hpp"

#include <functional>

namespace wspool_test {

std::string described(char kind, const std::string& payload) {
    if (payload.size() <= 40) return std::string(1, kind) + "(" + payload + ")";
    return std::string(1, kind) + "#" + std::to_string(payload.size()) + ":" +
           std::to_string(std::hash<std::string>()(payload) % 1000000);
}

namespace {

frame_spec_t spec(unsigned opcode, bool final = true) {
    frame_spec_t s;
    s.opcode = opcode;
    s.final = final;
    return s;
}

frame_spec_t with_length(unsigned opcode, int form, std::int64_t length = -1) {
    frame_spec_t s;
    s.opcode = opcode;
    s.length_form = form;
    s.length = length;
    return s;
}

std::vector<frame_case_t> make_corpus() {
    std::vector<frame_case_t> all;
    const auto good = [&](std::string name, std::string bytes, std::string events) {
        all.push_back({std::move(name), std::move(bytes), std::move(events), 0, 1 << 20, -1, ""});
    };
    const auto bad = [&](std::string name, std::string bytes, unsigned code,
                         std::string events = {}, int stock = -1, const char* why = "") {
        all.push_back(
            {std::move(name), std::move(bytes), std::move(events), code, 1 << 20, stock, why});
    };
    const std::string euro = "\xE2\x82\xAC";
    const std::string smile = "\xF0\x9F\x98\x80";

    good("empty text", text(""), "T()");
    good("empty binary", binary(""), "B()");
    good("two messages", text("one") + binary("two"), "T(one)B(two)");
    good("text of every length of UTF-8", text("a\xC3\xA9" + euro + smile),
         "T(a\xC3\xA9" + euro + smile + ")");
    for (const std::size_t size :
         {124U, 125U, 126U, 127U, 4091U, 4092U, 4093U, 4096U, 65535U, 65536U}) {
        const std::string payload(size, 'x');
        good("binary of " + std::to_string(size), binary(payload) + text("t"),
             described('B', payload) + "T(t)");
    }
    std::string euros;
    while (euros.size() < 9000) euros += euro;
    good("long text", text(euros), described('T', euros));
    good("three fragments", text("ab", false) + continuation("cd", false) + continuation("ef"),
         "T(abcdef)");
    good("empty fragments", binary("", false) + continuation("", false) + continuation(""), "B()");
    good("a character over three fragments",
         text(euro.substr(0, 1), false) + continuation(euro.substr(1, 1), false) +
             continuation(euro.substr(2) + "!"),
         "T(" + euro + "!)");
    good("control frames between fragments",
         text("a", false) + ping("p") + continuation("b", false) + pong("q") + continuation("c"),
         "9(p)A(q)T(abc)");
    good("a ping inside a character",
         text(smile.substr(0, 2), false) + ping("") + continuation(smile.substr(2)),
         "9()T(" + smile + ")");
    good("long fragments", text(euros, false) + ping("p") + continuation(euros),
         "9(p)" + described('T', euros + euros));
    good("ping of 125", ping(std::string(125, 'p')), described('9', std::string(125, 'p')));
    good("unsolicited pong", pong("x"), "A(x)");
    good("close without a code", with_opcode(8, ""), "8()");
    for (const unsigned code : {1000U, 1001U, 1002U, 1003U, 1007U, 1008U, 1009U, 1010U, 1011U,
                                1012U, 1013U, 1014U, 3000U, 3999U, 4000U, 4999U}) {
        good("close " + std::to_string(code), close(code, "bye"),
             "8(" + close_payload(code, "bye") + ")");
    }
    good("close with the longest reason", close(1000, std::string(123, 'r')),
         described('8', close_payload(1000, std::string(123, 'r'))));

    for (const unsigned reserved : {1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
        frame_spec_t s = spec(1);
        s.reserved = reserved;
        bad("RSV " + std::to_string(reserved), frame("x", s), 1002);
        s.opcode = 9;
        bad("RSV " + std::to_string(reserved) + " on a ping", frame("x", s), 1002);
    }
    {
        frame_spec_t s = spec(0);
        s.reserved = 4;
        bad("RSV1 on a continuation", text("a", false) + frame("b", s), 1002);
    }
    for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
        bad("opcode " + std::to_string(opcode), text("a") + frame("", spec(opcode)), 1002, "T(a)");
    }
    {
        frame_spec_t s = spec(1);
        s.masked = true;
        bad("masked text", frame("abc", s), 1002);
        s.opcode = 9;
        bad("masked ping", frame("abc", s), 1002);
    }
    bad("ping of 126", ping(std::string(126, 'p')), 1002);
    bad("close of 126", with_opcode(8, close_payload(1000, std::string(124, 'r'))), 1002);
    bad("ping with a 64-bit length", frame("p", with_length(9, 64)), 1002);
    bad("fragmented ping", with_opcode(9, "p", false), 1002);
    bad("fragmented close", with_opcode(8, "", false), 1002);
    bad("continuation of nothing", continuation("x"), 1002);
    bad("continuation after a whole message", text("a") + continuation("x"), 1002, "T(a)");
    bad("text inside a message", text("a", false) + text("b"), 1002);
    bad("binary inside a message", text("a", false) + binary("b", false), 1002);
    const char* const minimal = "non-minimal lengths close with 1011 instead of 1002";
    bad("5 in 16 bits", frame("abcde", with_length(2, 16)), 1002, "", 1011, minimal);
    bad("125 in 16 bits", frame(std::string(125, 'x'), with_length(2, 16)), 1002, "", 1011,
        minimal);
    bad("5 in 64 bits", frame("abcde", with_length(2, 64)), 1002, "", 1011, minimal);
    bad("65535 in 64 bits", frame(std::string(65535, 'x'), with_length(2, 64)), 1002, "", 1011,
        minimal);
    {
        std::string top = binary("x");
        top = std::string("\x82\x7F\x80\0\0\0\0\0\0\1x", 11);
        bad("64-bit length with its top bit", top, 1002, "", 1009,
            "the length's top bit is unchecked");
    }
    bad("close of one byte", with_opcode(8, "\x03"), 1002);
    for (const unsigned code :
         {0U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 2000U, 2999U, 5000U, 65535U}) {
        bad("close " + std::to_string(code), close(code), 1002);
    }
    const char* const reason = "RFC 6455 section 8.1 asks for 1007, websocketpp says 1002";
    bad("bad UTF-8 in a close reason", close(1000, "\xFF"), 1007, "", 1002, reason);
    bad("close reason cut inside a character", close(1000, "\xE2\x82"), 1007, "", 1002, reason);
    const std::vector<std::string> not_text = {"\x80",
                                               "\xC0\x80",
                                               "\xC1\xBF",
                                               "\xE0\x80\x80",
                                               "\xED\xA0\x80",
                                               "\xF0\x80\x80\x80",
                                               "\xF4\x90\x80\x80",
                                               "\xF5\x80\x80\x80",
                                               "\xFE",
                                               "\xFF",
                                               "\xC3(",
                                               "\xE2\x82("};
    for (std::size_t i = 0; i < not_text.size(); ++i) {
        const std::string number = std::to_string(i);
        bad("bad text " + number, text("ok") + text("a" + not_text[i] + "b"), 1007, "T(ok)");
        bad("bad text in a fragment " + number,
            text("a", false) + continuation(not_text[i], false) + continuation("b"), 1007);
        bad("bad text in a long frame " + number,
            text(std::string(5000, 'a') + not_text[i] + std::string(100, 'b')), 1007);
        good("the same as binary " + number, binary(not_text[i]), "B(" + not_text[i] + ")");
    }
    bad("text cut inside a character", text(euro.substr(0, 2)), 1007);
    bad("fragmented text cut inside a character",
        text("a", false) + continuation(smile.substr(0, 3)), 1007, "", 0,
        "fragmented text ending inside a code point is accepted");
    bad("long text cut inside a character", text(std::string(5000, 'a') + smile.substr(0, 3)),
        1007);
    bad("a character broken by the next fragment",
        text(euro.substr(0, 2), false) + continuation("x"), 1007);
    bad("bad byte in a frame that never completes", frame("ab\xFF", with_length(1, 16, 60000)),
        1007);
    bad("bad byte in a small frame that never completes", frame("ab\xFF", with_length(1, 7, 100)),
        1007);
    bad("bad byte in a small continuation that never completes",
        text(euro.substr(0, 1), false) + frame("\x82x", with_length(0, 7, 100)), 1007);

    const auto bound = [&](std::string name, std::string bytes, std::string events, unsigned code,
                           std::size_t max, int stock = -1, const char* why = "") {
        all.push_back(
            {std::move(name), std::move(bytes), std::move(events), code, max, stock, why});
    };
    bound("message of max_size", binary(std::string(100, 'x')),
          described('B', std::string(100, 'x')), 0, 100);
    bound("message above max_size", binary(std::string(101, 'x')), "", 1009, 100);
    bound("only a header above max_size", frame("", with_length(2, 16, 1000)), "", 1009, 100);
    bound("fragments up to max_size",
          binary(std::string(60, 'x'), false) + continuation(std::string(40, 'x')),
          described('B', std::string(100, 'x')), 0, 100);
    bound("fragments above max_size",
          binary(std::string(60, 'x'), false) + ping("") + continuation(std::string(41, 'x')),
          "9()", 1009, 100);
    bound("long fragments above max_size",
          binary(std::string(6000, 'x'), false) + continuation(std::string(4001, 'x')), "", 1009,
          10000);
    bound("each message has the bound to itself",
          binary(std::string(100, 'x')) + binary(std::string(100, 'y')),
          described('B', std::string(100, 'x')) + described('B', std::string(100, 'y')), 0, 100);
    bound("control frames do not count",
          text(std::string(100, 'x'), false) + ping("0123456789") + continuation(""),
          "9(0123456789)" + described('T', std::string(100, 'x')), 0, 100);
    bound("fragment sizes that would wrap",
          binary("xx", false) + frame("", with_length(0, 64, INT64_MAX)), "", 1009, 100);
    return all;
}

}  // namespace

const std::vector<frame_case_t>& frame_corpus() {
    static const std::vector<frame_case_t> corpus = make_corpus();
    return corpus;
}

}  // namespace wspool_test
