#include "wspool/ready_list.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

namespace wspool {

ready_list_c::ready_list_c() {
#ifdef __linux__
    read_end_ = write_end_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (read_end_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
#else
    int ends[2];
    if (::pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    for (const int end : ends) {
        ::fcntl(end, F_SETFD, FD_CLOEXEC);
        ::fcntl(end, F_SETFL, O_NONBLOCK);
    }
    read_end_ = ends[0];
    write_end_ = ends[1];
#endif
}

ready_list_c::~ready_list_c() {
    ::close(read_end_);
    if (write_end_ != read_end_) ::close(write_end_);
}

void ready_list_c::Post(std::uint64_t number) noexcept {
    {
        const std::lock_guard lock(mutex_);
        numbers_.push_back(number);
        if (numbers_.size() > 1) return;  // the descriptor is readable already
    }
    // Eight bytes: what an eventfd wants, and as good as one for a pipe. It cannot be full.
    const std::uint64_t one = 1;
    while (::write(write_end_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

std::vector<std::uint64_t> ready_list_c::Take() {
    // Emptied before the list is taken: what is posted in between makes it readable again.
    std::uint64_t bytes[8];
    ssize_t got = 0;
    do {
        got = ::read(read_end_, bytes, sizeof bytes);
    } while ((got < 0 && errno == EINTR) || got == sizeof bytes);
    const std::lock_guard lock(mutex_);
    return std::exchange(numbers_, {});
}

}  // namespace wspool
