#pragma once

#include <chrono>
#include <iomanip>
#include <iostream>
#include <mutex>
#include <sstream>

/// Lines on standard output, whole and with the time since the start, from any thread.
class logger_c {
public:
    template <typename... Parts>
    void Log(const Parts&... parts) {
        const std::chrono::duration<double> since = std::chrono::steady_clock::now() - start_;
        std::ostringstream line;
        line << "[" << std::fixed << std::setprecision(3) << since.count() << " s] ";
        (line << ... << parts) << "\n";
        const std::lock_guard lock(mutex_);
        std::cout << line.str() << std::flush;
    }

private:
    const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::mutex mutex_;
};
