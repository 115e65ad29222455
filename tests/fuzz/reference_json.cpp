#include "reference_json.hpp"

#include <cstdint>

namespace wspool::fuzz {
namespace {

constexpr int most_levels = 1024;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// RFC 3629, byte by byte.
bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = [&](std::size_t at) {
            return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
        };
        const unsigned lead = byte(i);
        std::size_t size = 0;
        std::uint32_t code = 0;
        if (lead < 0x80) {
            ++i;
            continue;
        }
        if (lead >= 0xC0 && lead < 0xE0) {
            size = 2;
            code = lead & 0x1FU;
        } else if (lead >= 0xE0 && lead < 0xF0) {
            size = 3;
            code = lead & 0x0FU;
        } else if (lead >= 0xF0 && lead < 0xF8) {
            size = 4;
            code = lead & 0x07U;
        } else {
            return false;
        }
        for (std::size_t k = 1; k < size; ++k) {
            if ((byte(i + k) & 0xC0U) != 0x80U) return false;
            code = (code << 6U) | (byte(i + k) & 0x3FU);
        }
        const std::uint32_t least = size == 2 ? 0x80U : size == 3 ? 0x800U : 0x10000U;
        if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
        i += size;
    }
    return true;
}

void append(std::string& out, std::uint32_t code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 + code / 64);
        out += static_cast<char>(0x80 + code % 64);
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0 + code / 4096);
        out += static_cast<char>(0x80 + code / 64 % 64);
        out += static_cast<char>(0x80 + code % 64);
    } else {
        out += static_cast<char>(0xF0 + code / 262144);
        out += static_cast<char>(0x80 + code / 4096 % 64);
        out += static_cast<char>(0x80 + code / 64 % 64);
        out += static_cast<char>(0x80 + code % 64);
    }
}

class reader {
public:
    explicit reader(std::string_view text) : text_(text) {}

    std::optional<value> document() {
        space();
        value root;
        if (!read(root, 0)) return {};
        space();
        if (at_ != text_.size()) return {};
        return root;
    }

private:
    [[nodiscard]] char now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void space() {
        while (at_ < text_.size() &&
               std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos)
            ++at_;
    }

    bool read(value& out, int level) {
        const std::size_t begin = at_;
        bool is_fine = false;
        if (now() == '{')
            is_fine = level < most_levels && object(out, level);
        else if (now() == '[')
            is_fine = level < most_levels && array(out, level);
        else if (now() == '"')
            is_fine = string(out);
        else
            is_fine = word(out) || number(out);
        if (is_fine) out.raw = text_.substr(begin, at_ - begin);
        return is_fine;
    }

    bool object(value& out, int level) {
        out.kind = value::kind_e::OBJECT;
        ++at_;
        space();
        if (take('}')) return true;
        while (true) {
            value name;
            if (now() != '"' || !string(name)) return false;
            // A name that UTF-8 cannot express is no name that can be asked for.
            if (!name.is_text_whole) name.text = std::string(1, '\0') + "broken";
            space();
            if (!take(':')) return false;
            space();
            value member;
            if (!read(member, level + 1)) return false;
            out.members.emplace_back(std::move(name.text), std::move(member));
            space();
            if (take('}')) return true;
            if (!take(',')) return false;
            space();
        }
    }

    bool array(value& out, int level) {
        out.kind = value::kind_e::ARRAY;
        ++at_;
        space();
        if (take(']')) return true;
        while (true) {
            value element;
            if (!read(element, level + 1)) return false;
            out.elements.push_back(std::move(element));
            space();
            if (take(']')) return true;
            if (!take(',')) return false;
            space();
        }
    }

    bool hexadecimal(std::uint32_t& out) {
        out = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = now();
            if (is_digit(c))
                out = out * 16 + static_cast<std::uint32_t>(c - '0');
            else if (c >= 'a' && c <= 'f')
                out = out * 16 + static_cast<std::uint32_t>(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F')
                out = out * 16 + static_cast<std::uint32_t>(c - 'A' + 10);
            else
                return false;
        }
        return true;
    }

    bool escape(value& out) {
        const std::string_view plain = "\"\\/bfnrt";
        const std::string_view means = "\"\\/\b\f\n\r\t";
        const char c = now();
        ++at_;
        if (c != 'u') {
            const auto which = plain.find(c);
            if (c == '\0' || which == std::string_view::npos) return false;
            out.text += means[which];
            return true;
        }
        std::uint32_t code = 0;
        if (!hexadecimal(code)) return false;
        if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
            const std::size_t before = at_;
            at_ += 2;
            std::uint32_t low = 0;
            if (!hexadecimal(low)) return false;
            if (low >= 0xDC00 && low < 0xE000) {
                append(out.text, 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00));
                return true;
            }
            at_ = before;
        }
        if (code >= 0xD800 && code < 0xE000)
            out.is_text_whole = false;
        else
            append(out.text, code);
        return true;
    }

    bool string(value& out) {
        out.kind = value::kind_e::STRING;
        ++at_;
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (static_cast<unsigned char>(c) < 0x20) return false;
            ++at_;
            if (c == '"') return true;
            if (c != '\\')
                out.text += c;
            else if (!escape(out))
                return false;
        }
        return false;
    }

    bool word(value& out) {
        for (const std::string_view one :
             {"true", "false", "null", "NaN", "Infinity", "-Infinity"}) {
            if (text_.substr(at_, one.size()) != one) continue;
            at_ += one.size();
            out.kind = value::kind_e::WORD;
            return true;
        }
        return false;
    }

    bool digits() {
        if (!is_digit(now())) return false;
        while (is_digit(now())) ++at_;
        return true;
    }

    bool number(value& out) {
        out.kind = value::kind_e::NUMBER;
        take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            if (!digits()) return false;
        }
        return true;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

const value* value::find(std::string_view name) const {
    if (kind == kind_e::OBJECT) {
        for (auto member = members.rbegin(); member != members.rend(); ++member)
            if (member->first == name) return &member->second;
        return nullptr;
    }
    if (kind != kind_e::ARRAY || name.empty() || name.size() > 9) return nullptr;
    if (name.size() > 1 && name[0] == '0') return nullptr;
    std::size_t index = 0;
    for (const char c : name) {
        if (!is_digit(c)) return nullptr;
        index = index * 10 + static_cast<std::size_t>(c - '0');
    }
    return index < elements.size() ? &elements[index] : nullptr;
}

std::optional<value> parse(std::string_view text) {
    if (!is_utf8(text) || text.substr(0, 3) == "\xEF\xBB\xBF") return {};
    return reader(text).document();
}

}  // namespace wspool::fuzz
