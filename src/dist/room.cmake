# Open MPI's header is enough: the library is loaded at run time, by processes that a launcher started together.
option(INS_MPI "Several processes through Open MPI, where its header is found" ON)
if(INS_MPI)
  find_path(INS_MPI_INCLUDE mpi.h HINTS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openmpi/include
            PATH_SUFFIXES openmpi/include openmpi openmpi-x86_64)
endif()
if(INS_MPI AND INS_MPI_INCLUDE)
  include(CheckCSourceCompiles)
  set(CMAKE_REQUIRED_INCLUDES ${INS_MPI_INCLUDE})
  check_c_source_compiles("#include <mpi.h>
    #ifndef OPEN_MPI
    #error another MPI
    #endif
    int main(void) { return 0; }" INS_HAVE_OPEN_MPI)
  unset(CMAKE_REQUIRED_INCLUDES)
endif()
if(INS_MPI AND INS_MPI_INCLUDE AND INS_HAVE_OPEN_MPI)
  target_sources(ins_dist PRIVATE ${CMAKE_SOURCE_DIR}/src/dist/mpi/comm_mpi.c)
  target_include_directories(ins_dist SYSTEM PRIVATE ${INS_MPI_INCLUDE})
  target_compile_definitions(ins_dist PRIVATE INS_DIST_MPI)
  list(APPEND INS_EXTRA_LIBS ${CMAKE_DL_LIBS})
endif()
