#include "json/picker.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace wspool::json {
namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/// A stack of one bit each: whether it is an object or an array that is open there.
class nesting {
public:
    void push(bool is_object) noexcept {
        const std::uint64_t bit = std::uint64_t{1} << (size_ % 64);
        auto& word = words_[size_ / 64];
        word = is_object ? word | bit : word & ~bit;
        ++size_;
    }
    void pop() noexcept { --size_; }
    [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool in_object() const noexcept {
        return ((words_[(size_ - 1) / 64] >> ((size_ - 1) % 64)) & 1U) != 0;
    }
    [[nodiscard]] unsigned size() const noexcept { return size_; }

private:
    std::array<std::uint64_t, max_depth / 64 + 1> words_;  // only what was pushed is read
    unsigned size_ = 0;
};

/// Of what large messages needed, this much is kept.
constexpr std::size_t most_kept_rows = 16 * 1024;

}  // namespace

picker::picker(const plan& wanted)
    : plan_(wanted), values_(wanted.slots()), row_sets_(wanted.rows().size()) {}

void picker::reset() {
    std::fill(values_.begin(), values_.end(), slice());
    for (row_set& set : row_sets_) {
        if (set.values.capacity() > most_kept_rows) set.values = {};
        set.values.clear();
        set.count = 0;
        set.is_array = false;
    }
}

bool picker::pick(std::string_view text) {
    reset();
    if (!structure_.index(text)) return false;
    text_ = text.data();
    tokens_ = structure_.tokens();
    count_ = structure_.count();
    has_backslash_ = structure_.has_backslash();
    const char first = at(0);
    const char last = at(count_ - 1);
    // From here on a closing bracket is what the tokens end with: whoever takes another token may
    // look at the next one without asking whether it is there.
    const bool is_container = (first == '{' && last == '}') || (first == '[' && last == ']');
    if (!is_container && count_ != 1) return false;
    if (walk(plan_.node(0), 0, 0, values_.data()) == count_) return true;
    reset();
    return false;
}

/// A string, a number or a word.
bool picker::is_scalar(std::size_t token) const noexcept {
    const char* const begin = text_ + tokens_[token];
    const char* const end = text_ + tokens_[token + 1];
    if (*begin == '"') {
        // simdjson's first stage has found its end.
        return !has_backslash_ || check_escapes(slice_of(token, token + 1).inside());
    }
    std::uint32_t size = 0;
    return check_scalar(begin, end, size);
}

slice picker::slice_of(std::size_t token, std::size_t next) const noexcept {
    const std::uint32_t begin = tokens_[token];
    std::uint32_t end = tokens_[next];
    while (is_space(text_[end - 1])) --end;
    return {text_ + begin, end - begin, static_cast<std::uint32_t>(token)};
}

/// Returns the token behind the value.
std::size_t picker::walk(const plan::node_t& node, std::size_t token, unsigned depth, slice* out) {
    const char c = at(token);
    std::size_t next = 0;
    if (c == '{' && !node.names.empty())
        next = walk_object(node, token, depth, out);
    else if (c == '[' && (!node.indexes.empty() || node.rows != plan::none))
        next = walk_array(node, token, depth, out);
    else
        next = skip(token, depth);
    if (node.slot != plan::none && next != failed)
        out[static_cast<std::size_t>(node.slot)] = slice_of(token, next);
    return next;
}

std::size_t picker::walk_object(const plan::node_t& node, std::size_t token, unsigned depth,
                                slice* out) {
    if (depth == max_depth) return failed;
    ++token;
    if (at(token) == '}') return token + 1;
    std::uint64_t seen = 0;
    constexpr std::size_t most_seen = 64;
    while (true) {
        if (at(token) != '"' || at(token + 1) != ':') return failed;
        const std::size_t found = find(node, token);
        if (found == failed) return failed;
        token += 2;
        if (found == node.names.size()) {
            token = skip(token, depth + 1);
        } else {
            const plan::node_t& child = plan_.node(node.names[found].node);
            const std::uint64_t bit = std::uint64_t{1} << (found % most_seen);
            // Of equal names the last counts, and nothing is left of the one before.
            if ((seen & bit) != 0) forget(child, out);
            seen |= bit;
            token = walk(child, token, depth + 1, out);
        }
        if (token >= count_) return failed;
        const char c = at(token++);
        if (c == '}') return token;
        if (c != ',') return failed;
    }
}

/// Which of the names is this one; their number for none, `failed` for a key that is no string.
std::size_t picker::find(const plan::node_t& node, std::size_t token) {
    const std::uint32_t begin = tokens_[token] + 1;
    std::uint32_t end = tokens_[token + 1] - 1;
    while (text_[end] != '"') --end;
    std::string_view key(text_ + begin, end - begin);
    const auto& names = node.names;
    if (has_backslash_ && key.find('\\') != std::string_view::npos) {
        if (!check_escapes(key)) return failed;
        if (!unescape(key, unescaped_)) return names.size();
        key = unescaped_;
    }
    // The key lies in the text, so that eight bytes from its beginning can be read unless it is
    // near the end, or was unescaped.
    std::uint64_t word = 0;
    const bool has_word = key.data() == text_ + begin && begin + sizeof word <= tokens_[count_];
    if (has_word) std::memcpy(&word, text_ + begin, sizeof word);
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto& name = names[i];
        if (name.mask != 0 && has_word) {
            if ((word & name.mask) == name.word) return i;
        } else if (name.name == key) {
            return i;
        }
    }
    return names.size();
}

void picker::forget(const plan::node_t& node, slice* out) {
    if (node.slot != plan::none) out[static_cast<std::size_t>(node.slot)] = slice();
    if (node.rows != plan::none) {
        row_set& set = row_sets_[index(node.rows)];
        set.values.clear();
        set.count = 0;
        set.is_array = false;
    }
    for (const auto& child : node.names) forget(plan_.node(child.node), out);
}

std::size_t picker::walk_array(const plan::node_t& node, std::size_t token, unsigned depth,
                               slice* out) {
    if (depth == max_depth) return failed;
    if (node.rows != plan::none) row_sets_[index(node.rows)].is_array = true;
    ++token;
    if (at(token) == ']') return token + 1;
    auto wanted = node.indexes.begin();
    for (std::size_t i = 0;; ++i) {
        std::size_t next = failed;
        if (node.rows != plan::none) next = walk_row(node.rows, token, depth + 1);
        if (wanted != node.indexes.end() && wanted->index == i) {
            next = walk(plan_.node(wanted->node), token, depth + 1, out);
            ++wanted;
        } else if (node.rows == plan::none) {
            next = skip(token, depth + 1);
        }
        if (next >= count_) return failed;
        const char c = at(next);
        token = next + 1;
        if (c == ']') return token;
        if (c != ',') return failed;
    }
}

std::size_t picker::walk_row(int rows, std::size_t token, unsigned depth) {
    row_set& set = row_sets_[index(rows)];
    const auto& wanted = plan_.rows()[index(rows)];
    const std::size_t before = set.values.size();
    set.values.resize(before + wanted.slots);
    ++set.count;
    return walk(plan_.node(wanted.node), token, depth, set.values.data() + before);
}

std::size_t picker::skip(std::size_t token, unsigned depth) const noexcept {
    const char c = at(token);
    if (c == '{' || c == '[') return skip_container(token, depth);
    return is_scalar(token) ? token + 1 : failed;
}

/// Checks the grammar all the same. Every jump is to what may come next.
std::size_t picker::skip_container(std::size_t token, unsigned depth) const noexcept {
    nesting open;
enter:
    if (depth + open.size() >= max_depth) return failed;
    open.push(at(token) == '{');
    ++token;
    if (at(token) == (open.in_object() ? '}' : ']')) goto leave;
    if (!open.in_object()) goto value;
key:
    if (at(token) != '"' || at(token + 1) != ':' || (has_backslash_ && !is_scalar(token)))
        return failed;
    token += 2;
value:
    if (at(token) == '{' || at(token) == '[') goto enter;
    if (!is_scalar(token)) return failed;
    ++token;
next:
    if (at(token) == ',') {
        ++token;
        if (open.in_object()) goto key;
        goto value;
    }
    if (at(token) != (open.in_object() ? '}' : ']')) return failed;
leave:
    ++token;
    open.pop();
    if (open.is_empty()) return token;
    if (token == count_) return failed;
    goto next;
}

}  // namespace wspool::json
