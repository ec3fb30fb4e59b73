// SPDX-License-Identifier: MIT
#include "json.hpp"

#include <algorithm>

namespace spinff {

namespace {

/// Long enough for any value that is nearly right.
constexpr std::size_t longest_shown = 200;

/// Thrown out of the parser by its callback.
struct TooDeep {};

std::string shortened(std::string text) {
    if (text.size() <= longest_shown) {
        return text;
    }
    std::size_t end = longest_shown;
    while (end > 0 && (text[end] & 0xC0) == 0x80) { // not inside a character of several bytes
        --end;
    }
    text.resize(end);
    return text + "...";
}

/// What the parser says quotes the file: any bytes.
std::string printable(std::string text) {
    std::replace_if(text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return shortened(std::move(text));
}

} // namespace

json parse_json(const std::string &text, std::string &why) {
    const auto limit = [](int depth, json::parse_event_t, json &) {
        if (depth > max_json_depth) {
            throw TooDeep();
        }
        return true;
    };
    try {
        return json::parse(text, limit);
    } catch (const TooDeep &) {
        why = "lists or objects inside each other more than " + std::to_string(max_json_depth) +
              " times";
    } catch (const json::exception &exception) {
        why = printable(exception.what());
    }
    return json(json::value_t::discarded);
}

std::string shown(const json &value) {
    return shortened(value.dump());
}

std::string shown_text(const std::string &text) {
    const std::string escaped = json(text).dump();
    return "'" + shortened(escaped.substr(1, escaped.size() - 2)) + "'";
}

std::string shown_list(const std::vector<std::string> &names) {
    std::string text;
    for (const auto &name : names) {
        const std::string escaped = json(name).dump();
        text += (text.empty() ? "" : ", ") + escaped.substr(1, escaped.size() - 2);
    }
    return shortened(std::move(text));
}

bool is_plain_text(const json &value) {
    if (!value.is_string()) {
        return false;
    }
    const auto &text = value.get_ref<const std::string &>();
    return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < ' ';
    });
}

} // namespace spinff
