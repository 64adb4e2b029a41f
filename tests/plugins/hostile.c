/*
 * A provider that does in each phase one thing that no provider may do, and in "echo" one that it may.
 */
#include "ease.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile int zero;

static mps_next echo(mps_op *op)
{
	mps_result(op, "remote_id", mps_input(op, "text"));
	return mps_done(op);
}

static mps_next crash(mps_op *op)
{
	*(volatile char *)(uintptr_t)zero = 1;
	return mps_done(op);
}

static mps_next loop(mps_op *op)
{
	while (!zero)
		;
	return mps_done(op);
}

static mps_next leave(mps_op *op)
{
	_exit(0);
	return mps_done(op);
}

static mps_next stop(mps_op *op)
{
	abort();
	return mps_done(op);
}

static mps_next open_file(mps_op *op)
{
	mps_result(op, "remote_id", mps_number(op, open("/etc/passwd", O_RDONLY)));
	return mps_done(op);
}

static mps_next fork_itself(mps_op *op)
{
	mps_result(op, "remote_id", mps_number(op, fork()));
	return mps_done(op);
}

static mps_next open_socket(mps_op *op)
{
	mps_result(op, "remote_id", mps_number(op, socket(AF_INET, SOCK_STREAM, 0)));
	return mps_done(op);
}

static mps_next run_code(mps_op *op)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mps_result(op, "remote_id", p == MAP_FAILED ? "failed" : "mapped");
	return mps_done(op);
}

static mps_next garbage(mps_op *op)
{
	static const char bytes[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

	if (write(3, bytes, sizeof bytes) < 0)
		abort();
	return mps_done(op);
}

/* A frame that is well formed, for an operation that nobody asked about. */
static mps_next out_of_turn(mps_op *op)
{
	static const unsigned char frame[] = { 11, 0, 0, 0, 4, 0, 0, 0, 99, 99, 0, 0, 0, 0, 0, 0, 40, 0, 0, 4, 0, 0, 0, 'd', 'o', 'n', 'e' };

	if (write(3, frame, sizeof frame) < 0)
		abort();
	return mps_done(op);
}

static mps_next grow(mps_op *op)
{
	for (;;)
		memset(malloc(1 << 20), 1, 1 << 20);
	return mps_done(op);
}

static mps_next deep(mps_op *op)
{
	volatile char room[64 * 1024];

	memset((char *)room, 1, sizeof room);
	return zero ? mps_done(op) : deep(op) + room[1];
}

static mps_next twice(mps_op *op)
{
	(void)mps_wait(op, 5, "echo");
	return mps_done(op);
}

static mps_next nothing(mps_op *op)
{
	(void)op;
	return MPS_NEXT_DONE;
}

static const struct mps_phase publish[] = {
	{ "start", echo }, { "echo", echo }, { "crash", crash }, { "loop", loop }, { "leave", leave }, { "stop", stop },
	{ "open", open_file }, { "fork", fork_itself }, { "socket", open_socket }, { "run_code", run_code },
	{ "garbage", garbage }, { "out_of_turn", out_of_turn }, { "grow", grow }, { "deep", deep }, { "twice", twice },
	{ "nothing", nothing }, { NULL, NULL }
};

static const struct mps_operation operations[] = { { "publish", publish }, { NULL, NULL } };

MPS_PROVIDER("hostile", "1.0", "{\"name\":\"Hostile\",\"state_versions\":[1,1]}", operations)
