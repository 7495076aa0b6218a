# The C++ library as users get it: one archive, its headers, find_package(sluice) and pkg-config.
#
#   sluice::client   <sluice/client.h>, <sluice/async_client.h>
#   sluice::worker   <sluice/worker.h>, <sluice/async.h>
#
# Both are the same archive: the embedded client brings every layer but cli and server along. What
# the public headers need of others (Boost.Asio, Boost.JSON, tl::expected) is found, not installed.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(OBJECTS)
foreach(LAYER base model wire core io journal engine gateway client worker)
  get_target_property(TYPE sluice_${LAYER} TYPE)
  if(TYPE STREQUAL "STATIC_LIBRARY")
    list(APPEND OBJECTS $<TARGET_OBJECTS:sluice_${LAYER}>)
  endif()
endforeach()
add_library(sluice_library STATIC ${OBJECTS})
set_target_properties(sluice_library PROPERTIES OUTPUT_NAME sluice EXPORT_NAME sluice
  LINKER_LANGUAGE CXX)
file(GLOB_RECURSE PUBLIC_HEADERS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/sluice/*.h)
target_sources(sluice_library PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include
  FILES ${PUBLIC_HEADERS})
target_compile_features(sluice_library PUBLIC cxx_std_20)
# Asio is compiled once, into the archive (src/gateway/asio.cc).
target_compile_definitions(sluice_library PUBLIC BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(sluice_library PUBLIC Boost::json fmt::fmt Threads::Threads)

foreach(NAME client worker)
  add_library(sluice_public_${NAME} INTERFACE)
  set_target_properties(sluice_public_${NAME} PROPERTIES EXPORT_NAME ${NAME})
  target_link_libraries(sluice_public_${NAME} INTERFACE sluice_library)
  add_library(sluice::${NAME} ALIAS sluice_public_${NAME})
endforeach()

set(PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
install(TARGETS sluice_library sluice_public_client sluice_public_worker EXPORT sluiceTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT sluiceTargets NAMESPACE sluice:: DESTINATION ${PACKAGE_DIR} COMPONENT development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/sluiceConfig.cmake.in
  ${PROJECT_BINARY_DIR}/sluiceConfig.cmake INSTALL_DESTINATION ${PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sluiceConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sluiceConfig.cmake
  ${PROJECT_BINARY_DIR}/sluiceConfigVersion.cmake DESTINATION ${PACKAGE_DIR} COMPONENT development)
configure_file(${PROJECT_SOURCE_DIR}/cmake/sluice.pc.in ${PROJECT_BINARY_DIR}/sluice.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sluice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT development)
