// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <iostream>
#include <string>

/// The least that a test needs: counts and names what is wrong; main returns `failures()`.
inline int &failures() {
    static int count = 0;
    return count;
}

inline void report(const char *file, int line, const std::string &what) {
    std::cerr << file << ":" << line << ": " << what << "\n";
    ++failures();
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            report(__FILE__, __LINE__, "not true: " #condition);                                   \
        }                                                                                          \
    } while (false)

#define CHECK_NEAR(value, expected, tolerance)                                                     \
    do {                                                                                           \
        const double got = (value);                                                                \
        if (!(std::abs(got - (expected)) <= (tolerance))) {                                        \
            report(__FILE__, __LINE__, #value " is " + std::to_string(got));                       \
        }                                                                                          \
    } while (false)
