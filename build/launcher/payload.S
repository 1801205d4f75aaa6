/* The packed tree, in a read-only segment of its own: the kernel maps it when the program starts and reads a page only
   when it is touched. payload.ld puts it last, so that a file that was cut short still starts and says so. */
    .section .payload, "a", @progbits
    .balign 4096
    .globl payload_start
payload_start:
    .incbin PAYLOAD
    .globl payload_end
payload_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
