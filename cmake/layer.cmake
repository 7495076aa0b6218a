# add_layer(NAME [DEPENDS layer...] [PURE] [ASIO] [PUBLIC]): one static library per folder of src/.
# *_test.cc files are left out of the library and become the layer's test program NAME_test.
# *_fuzz.cc files become libFuzzer programs of their own names where SLUICE_SANITIZE is fuzz.
#   PURE    compiled with -fno-exceptions: outcomes are Result, our bugs abort (docs/adr/0002).
#   ASIO    may use Boost.Asio (its one translation unit is src/gateway/asio.cc).
#   PUBLIC  is installed as a part of the client library.
function(add_layer NAME)
  cmake_parse_arguments(ARG "PURE;ASIO;PUBLIC" "" "DEPENDS" ${ARGN})
  file(GLOB_RECURSE ALL CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${NAME}/*.cc)
  set(SOURCES ${ALL})
  set(TESTS ${ALL})
  list(FILTER SOURCES EXCLUDE REGEX "_test\\.cc$|/main\\.cc$|_fuzz\\.cc$")
  list(FILTER TESTS INCLUDE REGEX "_test\\.cc$")
  if(SOURCES)
    add_library(sluice_${NAME} STATIC ${SOURCES})
    set(SCOPE PUBLIC)
    target_link_libraries(sluice_${NAME} PRIVATE $<BUILD_INTERFACE:sluice_flags>)
    if(ARG_PURE)
      target_compile_options(sluice_${NAME} PRIVATE -fno-exceptions)
    endif()
  else()
    add_library(sluice_${NAME} INTERFACE)
    set(SCOPE INTERFACE)
  endif()
  target_include_directories(sluice_${NAME} ${SCOPE}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
  foreach(DEPENDENCY ${ARG_DEPENDS})
    target_link_libraries(sluice_${NAME} ${SCOPE} sluice_${DEPENDENCY})
  endforeach()
  target_link_libraries(sluice_${NAME} ${SCOPE} Threads::Threads)
  if(ARG_ASIO)
    target_compile_definitions(sluice_${NAME} ${SCOPE} BOOST_ASIO_SEPARATE_COMPILATION
      BOOST_ASIO_NO_DEPRECATED)
    target_link_libraries(sluice_${NAME} ${SCOPE} Boost::json fmt::fmt)
  endif()
  if(TESTS AND SLUICE_BUILD_TESTS AND SLUICE_BUILD_UNIT_TESTS)
    add_unit_tests(${NAME} sluice_${NAME} ${TESTS})
  endif()
  if(SLUICE_SANITIZE STREQUAL "fuzz")
    list(FILTER ALL INCLUDE REGEX "_fuzz\\.cc$")
    foreach(FUZZER ${ALL})
      get_filename_component(TARGET ${FUZZER} NAME_WE)
      add_executable(${TARGET} ${FUZZER})
      target_link_libraries(${TARGET} PRIVATE sluice_${NAME} sluice_flags -fsanitize=fuzzer)
    endforeach()
  endif()
endfunction()

# The program NAME_test over LIBRARY; each TEST() is a CTest test, run from the root of the checkout.
function(add_unit_tests NAME LIBRARY)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  add_executable(${NAME}_test ${ARGN})
  target_link_libraries(${NAME}_test PRIVATE ${LIBRARY} sluice_flags GTest::gtest_main)
  # They run for a moment and are compiled for long; what they test keeps its -O1.
  target_compile_options(${NAME}_test PRIVATE $<$<CONFIG:Debug>:-O0>)
  find_library(RAPIDCHECK rapidcheck)
  if(RAPIDCHECK)
    target_link_libraries(${NAME}_test PRIVATE ${RAPIDCHECK})
  endif()
  gtest_discover_tests(${NAME}_test WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${NAME} TIMEOUT 300 ENVIRONMENT "RC_PARAMS=max_success=500")
endfunction()
