# Compiler, warnings, sanitizers and the packages every layer may use.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

option(SLUICE_BUILD_TESTS "Build the tests" ON)
option(SLUICE_BUILD_UNIT_TESTS "Of the tests, those of the layers, too" ON)
option(SLUICE_BUILD_BENCH "Build the benchmarks of the parts" OFF)
option(SLUICE_BUILD_EXAMPLES "Build examples and demo" ON)
if(SLUICE_BUILD_TESTS)
  enable_testing()  # before the first add_test() of any folder
endif()
option(SLUICE_COVERAGE "Count what runs (Clang; ./dev coverage)" OFF)
set(SLUICE_SANITIZE "" CACHE STRING "asan (with UBSan) | tsan | fuzz | empty")

if(NOT SLUICE_COVERAGE)  # llvm-cov wants the files.
  # Where the checkout lies is not in what is built, so one need not compile what another one has.
  add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
    CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

add_library(sluice_flags INTERFACE)
target_compile_options(sluice_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor -Woverloaded-virtual
  -Wimplicit-fallthrough -Wextra-semi -Wswitch-enum -Werror)
if(CMAKE_UNITY_BUILD)
  # Up to eight files of a target are one translation unit: half of the time. What each declares for
  # itself is then seen by its neighbours; the preset `clang` compiles every file alone.
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(sluice_flags INTERFACE -Wno-subobject-linkage)
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Not when optimising: inlined library code gives false alarms then (std::vector::insert, GCC 12).
  target_compile_options(sluice_flags INTERFACE $<$<CONFIG:Debug>:-Wnull-dereference>)
  # -Wno-tsan: Asio uses atomic_thread_fence, which GCC's TSan does not model.
  target_compile_options(sluice_flags INTERFACE -Wduplicated-cond -Wlogical-op -Wuseless-cast)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # std::stable_sort of libstdc++ 12 uses what libstdc++ 12 itself calls deprecated.
  target_compile_options(sluice_flags INTERFACE -Wno-deprecated-declarations)
endif()
# A hardened binary, as distributions build theirs (RELIABILITY A22).
if(SLUICE_SANITIZE STREQUAL "")
  target_compile_options(sluice_flags INTERFACE -fstack-protector-strong -fcf-protection
    $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  target_compile_definitions(sluice_flags INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(sluice_flags INTERFACE -Wl,-z,relro,-z,now)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # What others can see may be inlined, too, as Clang does: nobody replaces our functions when
    # they are loaded.
    add_compile_options(-fno-semantic-interposition)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
      # GCC clears and copies structs of more than about 100 bytes with `rep stos` and `rep movs`, which
      # take longer to start than the whole of it takes with vectors.
      set(inline_up_to_512 vector_loop:512:noalign,libcall:-1:noalign)
      add_compile_options(-mmemset-strategy=${inline_up_to_512} -mmemcpy-strategy=${inline_up_to_512})
    endif()
  endif()
elseif(SLUICE_SANITIZE STREQUAL "asan")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(SLUICE_SANITIZE STREQUAL "tsan")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(sluice_flags INTERFACE -Wno-tsan)
  endif()
elseif(SLUICE_SANITIZE STREQUAL "fuzz")
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(SLUICE_COVERAGE)
  # Counters are in the file itself: what children count that end by _exit is not lost.
  add_compile_options(-fprofile-instr-generate -fcoverage-mapping
    "SHELL:-mllvm -runtime-counter-relocation")
  add_link_options(-fprofile-instr-generate)
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_path(XXHASH_INCLUDE xxhash.h REQUIRED)
find_path(EXPECTED_INCLUDE tl/expected.hpp REQUIRED)
