# wspool_target_defaults(<target>): the warnings of our own code. Headers of dependencies are
# SYSTEM and stay silent.
function(wspool_target_defaults target)
  target_compile_features(${target} PUBLIC cxx_std_17)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Woverloaded-virtual -Wformat=2
    $<IF:$<CXX_COMPILER_ID:GNU>,-Wshadow=local,-Wshadow>
    $<$<BOOL:${WSPOOL_WERROR}>:-Werror>
    # gcc: ThreadSanitizer does not model std::atomic_thread_fence, which Asio uses.
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<STREQUAL:${WSPOOL_SANITIZE},thread>>:-Wno-tsan>)
endfunction()
