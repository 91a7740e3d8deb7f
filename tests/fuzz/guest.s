# The guest of the fuzz tests: a 64 KiB firmware image that does random things for ever, as fast as it can, from a seed in itself.
#
# All of it runs from ROM below 4 GiB, its descriptor tables included, so nothing that it does to memory breaks it. `recover` is where
# every exception, interrupt and NMI of every mode ends: it brings the CPU back to flat 32-bit code without paging and takes the next step.
# A step picks one of the `kinds` below. Where that loses the CPU for good, the reset vector starts over with the generator's state
# in RAM, so the run goes on elsewhere. run.py fills in the configuration and the tables, and reads the count of steps from port 0xe9.
        .equ    STATE, 0x1000           # of each CPU, at EBP: the generator's state; then counters
        .equ    RESETS, 0x1004
        .equ    STEPS, 0x1008
        .equ    FRESH, 0x1010           # set after a reset
        .equ    REGS64, 0x1200          # values for the 16 general registers of 64-bit code
        .equ    TSS32, 0x2000
        .equ    TSS_DF, 0x2100
        .equ    TSS64, 0x2200
        .equ    TSS_ANY, 0x2400         # targets of task switches
        .equ    SCRATCH, 0x3000
        .equ    STACK, 0x8000           # its top
        .equ    PD32, 0x10000
        .equ    PML4, 0x13000
        .equ    PDPT, 0x14000
        .equ    PD64, 0x15000           # four
        .equ    PDPT_PAE, 0x19000
        .equ    WILD_GDT, 0x20000
        .equ    SMM_ENTRY, 0x38000
        .equ    CODE, 0x40000           # shared by the CPUs, for cross-modifying code
        .equ    F_CR4, 1
        .equ    F_MSR, 2
        .equ    F_APIC, 4
        .equ    F_LM, 8
        .equ    F_SSE, 16
        .equ    F_MMX, 32
        .equ    F_XSAVE, 64
        .equ    F_SMP, 128
        .equ    BM_BASE, 0xc000         # where the kinds below put the bus master's ports
        .equ    PM_BASE, 0xb000
        .equ    E1000, 0xe2000000       # where they put the network cards' registers
        .equ    RTL_MMIO, 0xe2100000
        .equ    AHCI, 0xe3000000        # ... and the disk controllers'
        .equ    NVME, 0xe3100000
        .equ    VBLK, 0xe3200000
        .equ    VSCSI, 0xe3300000
        .equ    VIRTIO, 0xe3400000      # ... and of the other virtio devices: seven, 64 KiB each

        .text
        .code32
        .globl  _start
_start:
rom:
# --- filled in by run.py
seed:           .long 0x12345678
flags:          .long 0
templates:      .long 0                 # number of them
                .long 0
weights:        .fill 64, 1, 0          # kinds
        .org    0x100
addresses:      .fill 128, 4, 0         # base, mask of what is added to it
        .org    0x300
port_list:      .fill 128, 2, 0
        .org    0x400
msr_list:       .fill 256, 4, 0
        .org    0x800
prefixes:       .byte 0x66, 0x66, 0x66, 0x67, 0x67, 0xf0, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x66
                .byte 0x40, 0x41, 0x42, 0x44, 0x48, 0x49, 0x4c, 0x4f, 0x48, 0x48, 0xf2, 0xf3, 0xf0, 0x66, 0x64, 0x65
ata_commands:   .byte 0xc8, 0xca, 0x20, 0x30, 0xc4, 0xc5, 0xa0, 0xa0, 0xa1, 0xec, 0xef, 0x25, 0x35, 0x24, 0xc6, 0x90
                .byte 0xa0, 0xa0, 0x08, 0xe7, 0xea, 0x91, 0x40, 0x70, 0xc8, 0xca, 0xe0, 0xe5, 0xf8, 0xf9, 0x10, 0xb0
packet_commands: .byte 0x28, 0xa8, 0xbe, 0x43, 0x46, 0x4a, 0x51, 0x5a, 0x1a, 0x12, 0x03, 0x25, 0xb9, 0xad, 0x1b, 0x42
        .org    0x900
        .macro  SEG base, limit, access, high
        .word   \limit & 0xffff, \base & 0xffff
        .byte   (\base >> 16) & 255, \access, \high | ((\limit >> 16) & 15), (\base >> 24) & 255
        .endm
gdt:    .quad   0
        SEG     0, 0xfffff, 0x9b, 0xc0          # 08 code, 32 bits
        SEG     0, 0xfffff, 0x93, 0xc0          # 10 data
        SEG     CODE, 0xffff, 0x9b, 0           # 18 code, 16 bits
        SEG     0xffff0000, 0xffff, 0x9b, 0     # 20 code, 16 bits, this ROM
        SEG     0, 0xfffff, 0x9b, 0xa0          # 28 code, 64 bits
        SEG     0, 0xfffff, 0xfb, 0xc0          # 30 code, ring 3
        SEG     0, 0xfffff, 0xf3, 0xc0          # 38 data, ring 3
        SEG     0, 0xfffff, 0xfb, 0xa0          # 40 code, 64 bits, ring 3
        SEG     TSS32, 0x67, 0x89, 0            # 48 TSS of CPU 0
        SEG     (0x200000 + TSS32), 0x67, 0x89, 0 # 50 ... of CPU 1
        SEG     TSS_DF, 0x67, 0x89, 0           # 58 double faults
        SEG     (0x200000 + TSS_DF), 0x67, 0x89, 0 # 60
        SEG     TSS_ANY, 0x67, 0xe9, 0          # 68 a TSS with any contents
        SEG     TSS_ANY, 0x2b, 0xe1, 0          # 70 the same with 16 bits
        SEG     WILD_GDT, 0xffff, 0xe2, 0       # 78 LDT
        SEG     0, 0xfffff, 0x9f, 0xc0          # 80 conforming
        SEG     0x100000, 0x4, 0x97, 0xc0       # 88 expand-down
        SEG     0, 0xffff, 0x93, 0              # 90 data, 64 KiB
        .word   recover16 - rom, 0x20, 0xec00, 0xffff # 98 a call gate
        SEG     TSS64, 0x67, 0x89, 0            # a0
        .quad   0
        SEG     (0x200000 + TSS64), 0x67, 0x89, 0 # b0
        .quad   0
        .word   0, 0x68, 0xe500, 0              # c0 a task gate
        SEG     0xfec00000, 0x1ff, 0x93, 0xc0   # c8 data on devices
gdt_end:
        .org    0xa00
idt32:  .rept   8
        .word   recover32 - rom, 8, 0xee00, 0xffff
        .endr
        .word   0, 0x58, 0xe500, 0
        .rept   247
        .word   recover32 - rom, 8, 0xee00, 0xffff
        .endr
idt64:  .rept   256
        .word   recover64 - rom, 0x28, 0xee01, 0xffff
        .long   0, 0
        .endr
ivt:    .rept   256
        .word   recover16 - rom, 0xf000
        .endr
gdtr:   .word   gdt_end - gdt - 1
        .long   gdt
idtr:   .word   2047
        .long   idt32
idtr64: .word   4095
        .long   idt64, 0
ivtr:   .word   1023
        .long   ivt
wild_gdtr: .word 0xffff
        .long   WILD_GDT

# ---------------------------------------------------------------- back to flat 32-bit code
        .code16
reset16:
        movw    $1, FRESH               # DS is 0
recover16:
        cli
        cld
        lgdtl   %cs:(gdtr - rom)
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $8, $recover32

        .code64
recover64:
        movl    $(ljmp_recover - rom), %eax
        movl    $0xffff0000, %ecx
        addl    %ecx, %eax
        ljmp    *(%rax)
ljmp_recover:
        .long   recover32
        .word   8

        .code32
recover32:
        cli
        cld
        movw    $0x10, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        lidt    idtr                    # first: an NMI meanwhile had better be a triple fault than a gate of the wrong size
        movl    $0x11, %eax
        movl    %eax, %cr0
        lgdt    gdtr
        xorl    %ebp, %ebp
        testl   $F_SMP, flags
        jz      1f
        movl    $1, %eax
        cpuid
        shrl    $24, %ebx
        andl    $1, %ebx
        shll    $21, %ebx
        movl    %ebx, %ebp
1:      leal    STACK(%ebp), %esp
        pushl   $2
        pushl   $8
        pushl   $1f
        iretl                           # NMIs again
1:
        xorl    %eax, %eax
        movl    %eax, %dr7
        movw    %ax, %fs
        movw    %ax, %gs
        lldt    %ax
        testl   $F_CR4, flags
        jz      1f
        movl    %eax, %cr4
1:      testl   $F_LM, flags
        jz      1f
        movl    $0xc0000080, %ecx
        xorl    %edx, %edx
        wrmsr
1:      call    fill_tss
        movl    %ebp, %eax
        shrl    $18, %eax
        addl    $0x48, %eax
        ltr     %ax
        clts
        call    rnd
        testb   $1, %al
        jz      1f
        fninit
1:      movw    $0xaa0f, SMM_ENTRY      # RSM
        testb   $14, %al
        jz      1f
        cmpw    $0, FRESH
        je      2f
1:      call    start_watchdog
        movw    $0, FRESH
2:      incl    STEPS(%ebp)
        testb   $15, STEPS(%ebp)
        jnz     step
        movb    $'K', %al
        outb    %al, $0xe9

# One step: a kind by weight.
step:   call    rnd
        andl    $63, %eax
        movzbl  weights(%eax), %eax
        andl    $31, %eax
        call    *kinds(,%eax,4)
        jmp     recover32

kinds:  .long   k_template, k_raw, k_port, k_pci, k_ide, k_fdc, k_fwcfg, k_mmio
        .long   k_msr, k_control, k_apic, k_smm, k_far, k_fpu, k_fill, k_nic
        .long   k_disk, k_virtio
        .rept   14
        .long   k_raw
        .endr

# EAX = 32 random bits (xorshift); other registers stay.
rnd:    movl    STATE(%ebp), %eax
        testl   %eax, %eax
        jnz     1f
        incl    RESETS(%ebp)
        movl    RESETS(%ebp), %eax
        imull   $0x9e3779b1, %eax, %eax
        addl    seed, %eax
        addl    %ebp, %eax
        orl     $1, %eax
1:      pushl   %ecx
        movl    %eax, %ecx
        shll    $13, %ecx
        xorl    %ecx, %eax
        movl    %eax, %ecx
        shrl    $17, %ecx
        xorl    %ecx, %eax
        movl    %eax, %ecx
        shll    $5, %ecx
        xorl    %ecx, %eax
        popl    %ecx
        movl    %eax, STATE(%ebp)
        ret

# EAX = an address worth trying.
rnd_address:
        pushl   %ecx
        call    rnd
        movl    %eax, %ecx
        andl    $63, %ecx
        call    rnd
        andl    addresses+4(,%ecx,8), %eax
        addl    addresses(,%ecx,8), %eax
        popl    %ecx
        ret

# EAX = an address or anything.
rnd_value:
        call    rnd
        testb   $0x60, %al
        jz      1f
        testb   $0x40, %al
        jz      2f
        jmp     rnd_address
1:      sarl    $26, %eax               # small, of either sign
2:      ret

# EAX = an I/O port worth trying, or any.
rnd_port:
        call    rnd
        testb   $0x80, %al
        jz      1f
        shrl    $16, %eax
        ret
1:      andl    $127, %eax
        movzwl  port_list(,%eax,2), %eax
        ret

# ECX random dwords at EDI.
fill:   call    rnd
        stosl
        decl    %ecx
        jnz     fill
        ret

fill_tss:
        leal    STACK(%ebp), %eax
        movl    %eax, TSS32+4(%ebp)
        movl    $0x10, TSS32+8(%ebp)
        movl    $0x680000, TSS32+100(%ebp)
        movl    %eax, TSS64+4(%ebp)
        movl    $0, TSS64+8(%ebp)
        movl    %eax, TSS64+36(%ebp)    # IST1
        movl    $0, TSS64+40(%ebp)
        leal    PD32(%ebp), %ecx
        movl    %ecx, TSS_DF+28(%ebp)
        movl    $recover32, TSS_DF+32(%ebp)
        movl    $2, TSS_DF+36(%ebp)
        movl    %eax, TSS_DF+56(%ebp)
        movl    $8, TSS_DF+76(%ebp)
        movl    $0x10, TSS_DF+72(%ebp)
        movl    $0x10, TSS_DF+80(%ebp)
        movl    $0x10, TSS_DF+84(%ebp)
        movl    $0, TSS_DF+96(%ebp)
        ret

# Channel 0 of the 8254 raises an NMI at all CPUs through the I/O APIC some hundred times a second; the second CPU gets its start-up message.
start_watchdog:
        movb    $0x34, %al
        outb    %al, $0x43
        movb    $0x00, %al
        outb    %al, $0x40
        movb    $0x04, %al
        outb    %al, $0x40
        testl   $F_APIC, flags
        jz      1f
        movl    $0x1b, %ecx
        movl    $0xfee00800, %eax
        testl   %ebp, %ebp
        jnz     2f
        orb     $1, %ah
2:      xorl    %edx, %edx
        wrmsr
        movl    $0x1ff, 0xfee000f0
        movl    $0, 0xfee000b0
        movl    $0x14, 0xfec00000
        movl    $0x400, 0xfec00010
        movl    $0x15, 0xfec00000
        movl    $0xff000000, 0xfec00010
        testl   $F_SMP, flags
        jz      1f
        testl   %ebp, %ebp
        jnz     1f
        movl    $0x000c4500, 0xfee00300
        movl    $0x000c46ff, 0xfee00300
1:      ret

# ---------------------------------------------------------------- code
# Writes random instructions from the decoder's rows at EDI. A template is 8 bytes: mandatory prefix, number of opcode bytes, three of them,
# ModRM's kind (0 none, 1 any, 2 a byte, 3 register field, 4 register field and memory), its value, bytes of the immediate.
generate:
        call    rnd
        andl    $15, %eax
        leal    1(%eax), %ebx
        call    rnd
        testb   $15, %al
        jnz     1f
        movb    $0xbc, (%edi)           # mov $address, %esp
        call    rnd_address
        movl    %eax, 1(%edi)
        addl    $5, %edi
1:      call    rnd
        testb   $6, %al
        jnz     2f
        shrl    $8, %eax
        andl    $31, %eax
        movb    prefixes(%eax), %al
        stosb
2:      call    rnd
        xorl    %edx, %edx
        divl    templates
        leal    template_list(,%edx,8), %esi
        lodsb
        testb   %al, %al
        jz      3f
        stosb
3:      lodsb
        movzbl  %al, %ecx
        movl    (%esi), %eax
        movl    %eax, (%edi)
        addl    %ecx, %edi
        call    rnd
        movb    %al, %dl                # ModRM
        movb    3(%esi), %cl
        testb   %cl, %cl
        jz      9f
        cmpb    $1, %cl
        je      6f
        movb    4(%esi), %dl
        cmpb    $2, %cl
        je      6f
        shlb    $3, %dl
        andb    $0xc7, %al
        cmpb    $4, %cl
        jne     5f
        cmpb    $0xc0, %al
        jb      5f
        andb    $0x87, %al
5:      orb     %al, %dl
6:      movb    %dl, (%edi)
        incl    %edi
        movb    %dl, %dh
        andb    $0xc0, %dh
        andb    $7, %dl
        cmpb    $0xc0, %dh
        je      9f
        cmpb    $4, %dl
        jne     7f
        call    rnd                     # SIB
        stosb
7:      cmpb    $0x40, %dh
        jne     8f
        call    rnd
        stosb
        jmp     9f
8:      cmpb    $0x80, %dh
        je      8f
        cmpb    $5, %dl
        jne     9f
8:      call    rnd_value
        stosl
9:      call    rnd_value
        movl    %eax, (%edi)
        call    rnd
        movl    %eax, 4(%edi)
        movzbl  5(%esi), %ecx
        addl    %ecx, %edi
        decl    %ebx
        jnz     1b
        ret

# Where code goes: EDI. Often near the end of a page.
code_place:
        call    rnd
        movl    %eax, %edi
        andl    $0xffff, %edi
        testl   $0x70000, %eax
        jnz     1f
        orl     $0xff0, %edi
        andl    $0xffff, %edi
1:      testl   $0x100000, %eax
        jz      1f
        andl    $0x1fff, %edi           # again and again
1:      addl    $CODE, %edi
        ret

k_template:
        call    code_place
        pushl   %edi
        call    generate
        call    rnd
        popl    %ecx
        testb   $7, %al
        jz      1f
        movb    $0xcc, (%edi)
        movl    %ecx, %edi
        jmp     enter
1:      movb    $0xe9, (%edi)           # a loop
        leal    5(%edi), %eax
        movl    %ecx, %edx
        subl    %eax, %edx
        movl    %edx, 1(%edi)
        movl    %ecx, %edi
        jmp     enter

k_raw:  call    code_place
        pushl   %edi
        movl    $24, %ecx
        call    fill
        movb    $0xcc, (%edi)
        popl    %edi
        call    rnd
        testb   $31, %al
        jnz     enter
        call    rnd_address             # code on a device
        movl    %eax, %edi

# Runs the code at EDI in a random mode.
enter:  call    page_tables
        call    rnd
        andl    $15, %eax
        jmp     *modes(,%eax,4)
modes:  .long   m_ring0, m_ring0, m_ring0, m_ring3, m_ring3, m_16, m_vm86, m_vm86
        .long   m_real, m_real, m_long, m_long, m_long, m_long3, m_compat, m_wild

# Identity, but for entries that change with each step.
page_tables:
        movl    PD32(%ebp), %eax
        andb    $0x9f, %al              # but for accessed and dirty
        cmpl    $0x87, %eax
        jne     1f
        call    rnd
        testl   $0x7f00, %eax
        jnz     2f
1:      call    clean_tables
2:      movl    $3, %ecx
3:      call    rnd
        movl    %eax, %edx
        andl    $1022, %edx
        jz      4f
        cmpl    $1022, %edx
        je      4f
        call    rnd_entry
        movl    %eax, PD32(%ebp,%edx,4)
        call    rnd
        movl    %eax, %edx
        andl    $2047, %edx
        cmpl    $2, %edx
        jb      4f
        cmpl    $2046, %edx
        jae     4f
        call    rnd_entry
        movl    %eax, PD64(%ebp,%edx,8)
        call    rnd
        testb   $0x30, %al
        jnz     4f
        movl    %eax, PD64+4(%ebp,%edx,8)
        andl    $0x8007ff, PD64+4(%ebp,%edx,8)
        shrl    $8, %eax
        andl    $511, %eax
        jz      4f
        movl    %eax, %edx
        call    rnd_entry
        movl    %eax, PML4(%ebp,%edx,8)
        orb     $4, %dl
        call    rnd_entry
        movl    %eax, PDPT(%ebp,%edx,8)
4:      decl    %ecx
        jnz     3b
        ret

rnd_entry:
        pushl   %ecx
        call    rnd_address
        andl    $0xfffff000, %eax
        movl    %eax, %ecx
        call    rnd
        andl    $0x9ff, %eax
        orl     %ecx, %eax
        call    rnd_bit
        jc      1f
        orl     $7, %eax
1:      popl    %ecx
        ret

# CF = a random bit.
rnd_bit: pushl  %eax
        call    rnd
        shrl    $8, %eax
        shrl    $1, %eax
        popl    %eax
        ret

clean_tables:
        pushl   %edi
        leal    PD32(%ebp), %edi
        movl    $0x87, %eax
1:      stosl
        addl    $0x400000, %eax
        jnc     1b
        leal    PML4(%ebp), %edi
        movl    $2048, %ecx
        xorl    %eax, %eax
        rep stosl
        leal    PDPT+7(%ebp), %eax
        movl    %eax, PML4(%ebp)
        leal    PD64+1(%ebp), %eax
        xorl    %edx, %edx
1:      movl    %eax, PDPT_PAE(%ebp,%edx,8)     # other bits are reserved in PAE's
        movl    $0, PDPT_PAE+4(%ebp,%edx,8)
        movl    %eax, PDPT(%ebp,%edx,8)
        orb     $6, PDPT(%ebp,%edx,8)
        addl    $0x1000, %eax
        incl    %edx
        cmpl    $4, %edx
        jb      1b
        leal    PD64(%ebp), %edi
        movl    $0x87, %eax
1:      stosl
        movl    $0, (%edi)
        addl    $4, %edi
        addl    $0x200000, %eax
        jnc     1b
        popl    %edi
        ret

# Random bits in CR0 and CR4 that leave the CPU running; paging or not (32 bits).
random_controls:
        testl   $F_CR4, flags
        jz      1f
        call    rnd
        andl    $0x0000039f, %eax
        orl     $0x10, %eax
        movl    %eax, %cr4
1:      leal    PD32(%ebp), %eax
        testl   $F_CR4, flags
        jz      1f
        movl    %cr4, %ecx
        testb   $0x20, %cl
        jz      1f
        leal    PDPT_PAE(%ebp), %eax
1:      movl    %eax, %cr3
        call    rnd
        movl    %eax, %ecx
        call    rnd
        andl    %ecx, %eax
        andl    $0x8005002e, %eax
        orl     $0x11, %eax
        movl    %eax, %cr0
        ret

random_flags:
        call    rnd
        andl    $0x247fd7, %eax
        orl     $2, %eax
        call    rnd_bit
        jc      1f
        andl    $0x243ed7, %eax         # fewer traps, less NT
1:      ret

push_registers:                         # eight values for POPA above the return address
        popl    %edx
        movl    $8, %ecx
1:      call    rnd_value
        pushl   %eax
        decl    %ecx
        jnz     1b
        jmp     *%edx

m_ring0:
        call    random_controls
        call    random_flags
        pushl   %eax
        pushl   $8
        pushl   %edi
        call    push_registers
        popal
        iretl

m_ring3:
        call    random_controls
        pushl   $0x3b
        call    rnd_address
        pushl   %eax
        call    random_flags
        pushl   %eax
        pushl   $0x33
        pushl   %edi
        call    push_registers
        movw    $0x3b, %ax
        movw    %ax, %ds
        movw    %ax, %es
        popal
        iretl

m_16:   call    random_controls
        call    random_flags
        pushl   %eax
        pushl   $0x18
        subl    $CODE, %edi
        pushl   %edi
        call    push_registers
        popal
        iretl

m_vm86: call    random_controls
        movl    $4, %ecx
1:      call    rnd
        pushl   %eax
        decl    %ecx
        jnz     1b
        call    rnd
        pushl   %eax                    # SS
        call    rnd
        pushl   %eax
        call    random_flags
        orl     $0x20000, %eax
        pushl   %eax
        pushl   $(CODE >> 4)
        andl    $0xffff, %edi
        pushl   %edi
        call    push_registers
        popal
        iretl

m_wild: call    rnd_address             # page tables anywhere
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        jmp     *%edi

m_real: lidt    ivtr
        movl    $6, %ecx                # DS ES SS and flags, IP, below POPA's
        call    random_flags
        andl    $0x7fd7, %eax
        pushw   %ax
        pushw   $(CODE >> 4)
        pushw   %di
        call    push_registers
        call    rnd
        movl    %eax, %ebx
        call    rnd
        movl    %eax, %ecx
        movw    $0x90, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        ljmp    $0x20, $(m_real16 - rom)
        .code16
m_real16:
        movl    %cr0, %eax
        andb    $0xfe, %al
        movl    %eax, %cr0
        ljmp    $0xf000, $(m_real16b - rom)
m_real16b:
        movw    %bx, %ds
        movw    %cx, %es
        testl   %ebp, %ebp
        jnz     1f
        xorw    %ax, %ax
        movw    %ax, %ss
        popal
        iretw
1:      xorw    %ax, %ax                # the second CPU's stack is out of reach
        movw    %ax, %ss
        movl    $0x7000, %esp
        ljmp    $(CODE >> 4), $0
        .code32

m_long:  movl   $0x28, %ebx
        jmp     long_mode
m_long3: movl   $0x43, %ebx
        jmp     long_mode
m_compat: movl  $0x33, %ebx
long_mode:
        testl   $F_LM, flags
        jz      m_ring0
        leal    REGS64(%ebp), %esi
        movl    $32, %ecx
1:      call    rnd_value
        movl    %eax, (%esi)
        call    rnd
        movl    $0, 4(%esi)
        testb   $6, %al
        jz      2f
        testb   $2, %al
        jz      3f
        sarl    $31, %eax
2:      movl    %eax, 4(%esi)
3:      addl    $8, %esi
        decl    %ecx
        jnz     1b
        call    rnd
        andl    $0x0003039f, %eax
        orl     $0x620, %eax
        call    rnd_bit
        jc      1f
        movl    $0x620, %eax
1:      movl    %eax, %cr4
        leal    PML4(%ebp), %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx
        xorl    %edx, %edx
        call    rnd
        andl    $0x801, %eax
        orl     $0x100, %eax
        wrmsr
        call    random_flags
        movl    %eax, %esi
        call    rnd
        andl    $0x0005000e, %eax
        orl     $0x80000031, %eax
        movl    %eax, %cr0
        ljmp    $0x28, $in_long
        .code64
in_long:
        movl    $idtr64, %eax
        lidt    (%rax)
        movl    %ebp, %eax
        shrl    $17, %eax
        addl    $0xa0, %eax
        ltr     %ax
        movl    %ebp, %eax
        cmpl    $0x28, %ebx
        je      1f
        pushq   $0x3b
        pushq   REGS64+128(%rax)
        jmp     2f
1:      pushq   $0x10
        pushq   %rsp
2:      pushq   %rsi
        pushq   %rbx
        pushq   %rdi
        movq    REGS64(%rax), %r8
        movq    REGS64+8(%rax), %r9
        movq    REGS64+16(%rax), %r10
        movq    REGS64+24(%rax), %r11
        movq    REGS64+32(%rax), %r12
        movq    REGS64+40(%rax), %r13
        movq    REGS64+48(%rax), %r14
        movq    REGS64+56(%rax), %r15
        movq    REGS64+64(%rax), %rbx
        movq    REGS64+72(%rax), %rcx
        movq    REGS64+80(%rax), %rdx
        movq    REGS64+88(%rax), %rsi
        movq    REGS64+96(%rax), %rdi
        movq    REGS64+104(%rax), %rbp
        movq    REGS64+112(%rax), %rax
        iretq
        .code32

# ---------------------------------------------------------------- ports
k_port: movl    $16, %ebx
1:      call    rnd_port
        movl    %eax, %edx
        call    rnd
        movl    %eax, %esi
        andl    $15, %esi
        call    rnd_value
        call    *port_ops(,%esi,4)
        decl    %ebx
        jnz     1b
        ret
port_ops: .long p_inb, p_inw, p_inl, p_outb, p_outw, p_outl, p_outb, p_outw, p_outl, p_inb, p_insb, p_insw, p_insl, p_outsb, p_outsw, p_outsl
p_inb:  inb     %dx, %al
        ret
p_inw:  inw     %dx, %ax
        ret
p_inl:  cmpw    $0x5658, %dx
        je      1f
        inl     %dx, %eax
        ret
1:      pushal                          # the VMware backdoor: commands in registers
        call    rnd
        movl    %eax, %ecx
        andl    $63, %ecx
        call    rnd_bit
        jc      2f
        movl    $39, %ecx               # of the pointer
        andl    $3, %eax
        addl    %eax, %ecx
2:      call    rnd_value
        movl    %eax, %ebx
        call    rnd_bit
        jc      3f
        movl    $0x45414552, %ebx       # enable
        call    rnd_bit
        jc      3f
        movl    $0x53424152, %ebx       # absolute
3:      movl    $0x564d5868, %eax
        inl     %dx, %eax
        popal
        ret
p_outb: outb    %al, %dx
        ret
p_outw: outw    %ax, %dx
        ret
p_outl: outl    %eax, %dx
        ret
        .macro  REPIO name, op, reg
\name:  call    rnd_address
        movl    %eax, \reg
        call    rnd
        movzbl  %al, %ecx
        rep \op
        ret
        .endm
        REPIO   p_insb, insb, %edi
        REPIO   p_insw, insw, %edi
        REPIO   p_insl, insl, %edi
        REPIO   p_outsb, outsb, %esi
        REPIO   p_outsw, outsw, %esi
        REPIO   p_outsl, outsl, %esi

# EAX = value to write to configuration address ECX.
pci_write:
        pushl   %eax
        movl    %ecx, %eax
        movw    $0xcf8, %dx
        outl    %eax, %dx
        popl    %eax
        movw    $0xcfc, %dx
        outl    %eax, %dx
        ret

k_pci:  movl    $8, %ebx
1:      call    rnd
        movl    %eax, %ecx
        andl    $0x8000ffff, %ecx
        testl   $0x70000, %eax
        jz      2f
        andl    $0x2fff, %ecx           # the devices there are: slots 0 to 5
        orl     $0x80000000, %ecx
        testl   $0x180000, %eax
        jnz     2f
        andl    $0xffffff3f, %ecx       # their headers
2:      movw    $0xcf8, %dx
        movl    %ecx, %eax
        outl    %eax, %dx
        call    rnd
        movl    %eax, %edx
        andl    $3, %edx
        addl    $0xcfc, %edx
        testb   $0x70, %al
        jnz     3f
        inl     %dx, %eax
        jmp     4f
3:      movl    %eax, %esi
        call    rnd_value
        testl   $0x300, %esi
        jz      p4
        testl   $0x200, %esi
        jz      p5
        andl    $~3, %edx
        outl    %eax, %dx
        jmp     4f
p4:     outb    %al, %dx
        jmp     4f
p5:     outw    %ax, %dx
4:      decl    %ebx
        jnz     1b
        ret

# Bus-master DMA: descriptors with wild addresses, or tables on devices, and a command of either drive.
k_ide:  movl    $0x80000920, %ecx
        movl    $(BM_BASE | 1), %eax
        call    pci_write
        movl    $0x80000904, %ecx
        movl    $5, %eax
        call    pci_write
        movl    $0x80000940, %ecx
        movl    $0x80008000, %eax
        call    pci_write
        call    rnd
        movl    %eax, %ebx              # bit 3: second channel; bit 4: slave
        andl    $8, %ebx
        leal    SCRATCH(%ebp), %edi
        movl    $4, %ecx
1:      call    rnd_address
        stosl
        call    rnd
        stosl
        decl    %ecx
        jnz     1b
        call    rnd
        leal    SCRATCH(%ebp), %ecx
        testb   $7, %al
        jnz     2f
        call    rnd_address
        movl    %eax, %ecx
        call    rnd_bit
        jc      2f
        movl    %ecx, (%ecx)            # a table that describes itself
2:      leal    BM_BASE+4(%ebx), %edx
        movl    %ecx, %eax
        outl    %eax, %dx
        movl    $0x1f0, %esi
        testl   %ebx, %ebx
        jz      3f
        movl    $0x170, %esi
3:      leal    6(%esi), %edx
        call    rnd
        outb    %al, %dx
        leal    1(%esi), %edx
        movl    $5, %ecx
4:      call    rnd
        testb   $0x10, %ah
        jz      5f
        andb    $7, %al
5:      outb    %al, %dx
        incl    %edx
        decl    %ecx
        jnz     4b
        call    rnd
        movl    %eax, %ecx
        andl    $31, %eax
        movb    ata_commands(%eax), %al
        testl   $0xf00, %ecx
        jnz     6f
        movb    %ch, %al
6:      leal    7(%esi), %edx
        outb    %al, %dx
        cmpb    $0xa0, %al
        jne     7f
        movl    %esi, %edx              # a packet
        call    rnd
        movl    %eax, %ecx
        andl    $15, %eax
        movzbl  packet_commands(%eax), %eax
        outw    %ax, %dx
        movl    $5, %ecx
8:      call    rnd
        andl    $0x8303, %eax
        outw    %ax, %dx
        decl    %ecx
        jnz     8b
7:      leal    BM_BASE(%ebx), %edx
        call    rnd
        andb    $9, %al
        orb     $1, %al
        outb    %al, %dx
        movl    %esi, %edx
        call    rnd
        testb   $3, %al
        jz      p_insw
        testb   $7, %al
        jz      p_outsl
        addl    $7, %edx
        inb     %dx, %al
        leal    BM_BASE+2(%ebx), %edx
        call    rnd
        outb    %al, %dx
        leal    -2(%edx), %edx
        testb   $0x40, %al
        jz      9f
        xorl    %eax, %eax
        outb    %al, %dx
9:      ret

# Network cards: BARs and bus mastering, then rings of wild descriptors and a command to send. All are on one hub: what one sends, the
# others receive if they can.
k_nic:  movl    $nic_setup, %esi
1:      movl    (%esi), %ecx
        movl    4(%esi), %eax
        addl    $8, %esi
        call    pci_write
        cmpl    $nic_setup_end, %esi
        jb      1b
        call    rnd
        andl    $15, %eax
        jmp     *nic_kinds(,%eax,4)
nic_setup:
        .long   0x80001810, E1000, 0x80001814, 0xd201, 0x80001804, 7    # slot 3: e1000
        .long   0x80002010, 0xd001, 0x80002014, RTL_MMIO, 0x80002004, 7 # slot 4: rtl8139
        .long   0x80002810, 0xd101, 0x80002804, 7                       # slot 5: ne2k_pci
        .long   0x80003010, 0xd301, 0x80003004, 7                       # slot 6: pcnet
nic_setup_end:
nic_kinds: .long n_e1000_tx, n_e1000_rx, n_rtl, n_rtl, n_ne2k, n_ne2k, n_e1000_any, n_e1000_tx
        .long   n_pcnet, n_pcnet, n_pcnet, n_pcnet, n_e1000_rx, n_rtl, n_ne2k, n_e1000_any

# EAX = where a ring is: mostly in RAM that code leaves alone.
ring_place:
        call    rnd
        testb   $0x1c, %al
        jz      rnd_address
        andl    $0xffff0, %eax
        addl    $0x300000, %eax
        ret
# EDI = where; sixteen descriptors: address, its high half, lengths and commands, anything.
ring_fill:
        pushl   %edi
        andl    $0x1fffff0, %edi
        movl    $16, %ecx
1:      call    rnd_address
        stosl
        call    rnd
        testb   $0x3f, %al
        jz      2f
        xorl    %eax, %eax
2:      stosl
        call    rnd
        call    rnd_bit
        jc      3f
        andl    $0xff3003ff, %eax       # a sane length
3:      stosl
        call    rnd
        stosl
        decl    %ecx
        jnz     1b
        popl    %edi
        ret

# At EBX: base low and high, length, head, tail of a ring at a random place.
e1000_ring:
        call    ring_place
        movl    %eax, %edi
        call    ring_fill
        movl    %edi, E1000(%ebx)
        xorl    %eax, %eax
        call    rnd_bit
        jc      1f
        call    rnd
        andl    $0x10000001, %eax
1:      movl    %eax, E1000+4(%ebx)
        call    rnd
        andl    $0xfff80, %eax
        testl   $0x30000, %eax
        jz      2f
        andl    $0x180, %eax
2:      movl    %eax, E1000+8(%ebx)
        call    rnd
        andl    $0x8000000f, %eax
        movzwl  %ax, %eax
        movl    %eax, E1000+0x10(%ebx)
        call    rnd
        testl   $0x700, %eax
        jz      3f
        andl    $15, %eax
3:      movl    %eax, E1000+0x18(%ebx)
        ret
n_e1000_rx:
        movl    $0x2800, %ebx
        call    e1000_ring
        call    rnd
        orl     $0x801a, %eax           # on, all addresses
        movl    %eax, E1000+0x100
        call    rnd
        movl    %eax, E1000+0x5000      # checksums
        ret
n_e1000_tx:
        movl    $0x400fa, E1000+0x400   # on
        movl    $0x3800, %ebx
        call    e1000_ring
        call    rnd
        movl    %eax, E1000+0xd0        # interrupts
        testb   $7, %al
        jz      n_e1000_rx
        ret
n_e1000_any:
        movl    $16, %ebx
1:      call    rnd
        movl    %eax, %edi
        andl    $0x1fffc, %edi
        testl   $0x700000, %eax
        jz      2f
        andl    $0x5ffc, %edi
2:      call    rnd_value
        movl    %eax, E1000(%edi)
        movl    E1000(%edi), %eax
        call    rnd                     # the same registers by ports
        movw    $0xd200, %dx
        outl    %eax, %dx
        call    rnd_value
        addl    $4, %edx
        outl    %eax, %dx
        decl    %ebx
        jnz     1b
        ret

# pcnet: an initialization block and two rings of wild descriptors, in any software style, then any registers.
# EAX = a register's number, EDI = its value; at DX the data port.
pcnet_csr:
        movw    $0xd312, %dx
        outw    %ax, %dx
        movl    %edi, %eax
        movw    $0xd310, %dx
        outw    %ax, %dx
        ret
n_pcnet:
        movw    $0xd314, %dx            # soft reset
        inw     %dx, %ax
        call    rnd                     # the style
        andl    $3, %eax
        movl    %eax, %edi
        movw    $0xd312, %dx
        movw    $20, %ax
        outw    %ax, %dx
        movl    %edi, %eax
        movw    $0xd316, %dx
        outw    %ax, %dx
        call    ring_place
        movl    %eax, %edi
        call    ring_fill               # receive ring, and behind it the other
        movl    %edi, %ebx
        andl    $0x1fffff0, %ebx
        leal    256(%ebx), %edi
        call    ring_fill
        leal    512(%ebx), %edi
        movl    $7, %ecx
1:      call    rnd
        stosl
        decl    %ecx
        jnz     1b
        movl    %ebx, 512+20(%ebx)      # where a 32-bit block has its rings
        leal    256(%ebx), %eax
        movl    %eax, 512+24(%ebx)
        andb    $0x7f, 513(%ebx)        # receives: not all of the reasons not to
        call    rnd_bit
        jc      2f
        movw    $0x8000, 512(%ebx)      # everything
        call    rnd_bit
        jc      2f
        movw    $0x8004, 512(%ebx)      # what it sends
2:      leal    512(%ebx), %edi
        movl    $1, %eax
        call    pcnet_csr
        shrl    $16, %edi
        movl    $2, %eax
        call    pcnet_csr
        movl    $0x4b, %edi             # init, start, send
        xorl    %eax, %eax
        call    pcnet_csr
        movl    $6, %ecx
3:      call    rnd_value
        movl    %eax, %edi
        call    rnd
        call    pcnet_csr
        call    rnd                     # the data port of the BCRs; bytes and dwords
        movl    %eax, %edx
        andl    $0x1c, %edx
        addl    $0xd300, %edx
        testl   $0x7000000, %eax
        jnz     4f
        outl    %eax, %dx
4:      testl   $0x38000000, %eax
        jnz     5f
        inl     %dx, %eax
5:      decl    %ecx
        jnz     3b
        movl    $0x48, %edi
        xorl    %eax, %eax
        jmp     pcnet_csr

n_rtl:  movl    $RTL_MMIO, %esi
        call    rnd
        orb     $0x0c, %al              # receiver and transmitter on
        movb    %al, 0x37(%esi)
        call    rnd
        orl     $0x0f, %eax
        movl    %eax, 0x44(%esi)        # what it receives
        call    rnd
        movl    %eax, 0x40(%esi)
        call    ring_place
        movl    %eax, %edi
        call    ring_fill
        call    rnd
        testb   $1, %al
        jz      1f
        movl    %edi, 0x30(%esi)        # receive buffer
        movw    %ax, 0x38(%esi)
1:      testb   $2, %al
        jz      3f
        movw    %ax, 0xe0(%esi)         # rings of its C+ mode
        andl    $0xffffff00, %edi
        movl    %edi, 0x20(%esi)
        movl    $0, 0x24(%esi)
        movl    %edi, 0xe4(%esi)
        movl    $0, 0xe8(%esi)
        movb    %ah, 0xd9(%esi)
3:      movl    $4, %ecx
4:      call    rnd_address
        movl    %eax, 0x1c(%esi,%ecx,4)
        call    rnd
        andl    $0x003f1fff, %eax
        call    rnd_bit
        jc      5f
        andl    $0x3ff, %eax
5:      movl    %eax, 0x0c(%esi,%ecx,4)
        decl    %ecx
        jnz     4b
        movl    $6, %ecx
6:      call    rnd                     # any registers, by ports
        movzbl  %al, %edx
        addl    $0xd000, %edx
        call    rnd_value
        outb    %al, %dx
        inl     %dx, %eax
        decl    %ecx
        jnz     6b
        ret

n_ne2k: movl    $0xd100, %edx
        call    rnd
        andb    $0xc0, %al              # a page of its registers
        call    rnd_bit
        jc      1f
        xorl    %eax, %eax
1:      orb     $0x22, %al
        outb    %al, %dx
        movl    $12, %ecx
2:      call    rnd
        movl    %eax, %edx
        andl    $15, %edx
        addl    $0xd100, %edx
        call    rnd_bit
        jc      3f
        andb    $0x7f, %ah
3:      movb    %ah, %al
        outb    %al, %dx
        inb     %dx, %al
        decl    %ecx
        jnz     2b
        movl    $0xd100, %edx
        movb    $0x22, %al
        outb    %al, %dx
        movl    $0xd10d, %edx           # loopback or not, then what it receives
        call    rnd
        andb    $0x1f, %al
        outb    %al, %dx
        decl    %edx
        outb    %al, %dx
        movl    $0xd10a, %edx           # remote DMA: count, direction, data
        call    rnd
        outb    %al, %dx
        incl    %edx
        andb    $7, %ah
        movb    %ah, %al
        outb    %al, %dx
        movl    $0xd100, %edx
        call    rnd
        andb    $0x18, %al
        orb     $2, %al
        outb    %al, %dx
        movl    $0xd110, %edx
        movl    $100, %ecx
4:      call    rnd
        outl    %eax, %dx
        inw     %dx, %ax
        decl    %ecx
        jnz     4b
        movl    $0xd100, %edx
        movb    $0x26, %al              # send
        outb    %al, %dx
        ret

# ---------------------------------------------------------------- disk controllers in slots 8 to 11
k_disk: movl    $disk_setup, %esi
1:      movl    (%esi), %ecx
        movl    4(%esi), %eax
        addl    $8, %esi
        call    pci_write
        cmpl    $disk_setup_end, %esi
        jb      1b
        call    rnd
        andl    $7, %eax
        jmp     *disk_kinds(,%eax,4)
disk_setup:
        .long   0x80004024, AHCI, 0x80004004, 7
        .long   0x80004810, NVME, 0x80004814, 0, 0x80004804, 7
        .long   0x80005010, 0xd401, 0x80005020, VBLK, 0x80005024, 0, 0x80005004, 7
        .long   0x80005810, 0xd501, 0x80005820, VSCSI, 0x80005824, 0, 0x80005804, 7
disk_setup_end:
disk_kinds: .long d_ahci, d_ahci, d_nvme, d_nvme, d_virtio_blk, d_virtio_scsi, d_virtio_blk, d_virtio_scsi

# A command list of eight slots with tables of up to seven regions, issued; then any registers.
d_ahci: call    ring_place
        andl    $0x1fffc00, %eax
        movl    %eax, %ebx
        xorl    %esi, %esi
1:      call    rnd
        call    rnd_bit
        jc      2f
        andl    $0x00070040, %eax       # few regions, either direction, a frame of five dwords
        orl     $5, %eax
2:      movl    %eax, (%ebx,%esi)
        leal    0x1000(%ebx,%esi,8), %edi
        movl    %edi, 8(%ebx,%esi)
        movl    $0, 12(%ebx,%esi)
        call    rnd
        testb   $0x1f, %al
        jnz     3f
        call    rnd_address
        movl    %eax, 8(%ebx,%esi)
3:      call    rnd
        andl    $31, %eax
        movb    ata_commands(%eax), %al
        call    rnd_bit
        jc      4f
        call    rnd
        andb    $1, %al
        orb     $0x60, %al              # a queued command
4:      movb    %al, 2(%edi)
        movw    $0x8027, (%edi)
        call    rnd
        movb    %al, 3(%edi)
        andl    $0x400007ff, %eax
        movl    %eax, 4(%edi)
        movl    $0, 8(%edi)
        call    rnd
        testb   $15, %al
        jnz     5f
        movl    %eax, 8(%edi)
5:      andl    $0x1f, %eax
        movl    %esi, %ecx
        shrl    $2, %ecx                # the tag, where a queued command has it
        orl     %ecx, %eax
        movl    %eax, 12(%edi)
        addl    $0x80, %edi
        movl    $7, %ecx
6:      call    rnd_address
        stosl
        xorl    %eax, %eax
        stosl
        stosl
        call    rnd
        call    rnd_bit
        jc      7f
        andl    $0x1fff, %eax
7:      stosl
        decl    %ecx
        jnz     6b
        addl    $32, %esi
        cmpl    $256, %esi
        jb      1b
        movl    $(AHCI + 0x100), %esi
        call    rnd
        testb   $3, %al
        jnz     8f
        addl    $0x80, %esi
8:      movl    $0x80000002, AHCI+4
        movl    %ebx, (%esi)
        movl    $0, 4(%esi)
        leal    0x800(%ebx), %eax
        movl    %eax, 8(%esi)
        movl    $-1, 0x14(%esi)
        movl    $0x11, 0x18(%esi)       # on
        call    rnd
        movzbl  %al, %eax
        movl    %eax, 0x34(%esi)
        movl    %eax, 0x38(%esi)
        movl    $AHCI, %esi
        jmp     any_registers

# An I/O queue made, admin and I/O commands with wild pages; then any registers.
d_nvme: movl    $0, NVME+0x14
        call    ring_place
        andl    $0x1fff000, %eax
        movl    %eax, %ebx
        movl    %eax, NVME+0x28
        movl    $0, NVME+0x2c
        addl    $0x4000, %eax
        movl    %eax, NVME+0x30
        movl    $0, NVME+0x34
        call    rnd
        testb   $15, %al
        jz      1f
        movl    $0x001f001f, %eax
1:      movl    %eax, NVME+0x24
        movl    $0x00460001, NVME+0x14
        movl    %ebx, %edi
        movb    $5, %al                 # completion queue 1, submission queue 1
        call    nvme_command
        leal    0x8000(%ebx), %eax
        movl    $1, %ecx
        call    nvme_queue
        movb    $1, %al
        call    nvme_command
        leal    0x2000(%ebx), %eax
        movl    $0x10001, %ecx
        call    nvme_queue
        movl    $6, %ecx
2:      call    rnd
        andl    $15, %eax
        movb    nvme_admin(%eax), %al
        call    nvme_command
        decl    %ecx
        jnz     2b
        movl    $8, NVME+0x1000
        leal    0x2000(%ebx), %edi
        movl    $12, %ecx
3:      call    rnd
        andl    $15, %eax
        movb    nvme_io(%eax), %al
        call    nvme_command
        decl    %ecx
        jnz     3b
        movl    $12, NVME+0x1008
        call    rnd
        andl    $15, %eax
        movl    %eax, NVME+0x1004
        movl    %eax, NVME+0x100c
        call    rnd
        testb   $3, %al
        jz      4f
        ret
4:      movl    $NVME, %esi
        jmp     any_registers
nvme_admin: .byte 0x06, 0x06, 0x02, 0x09, 0x0a, 0x0c, 0x08, 0x00, 0x04, 0x05, 0x01, 0x10, 0x80, 0xff, 0x02, 0x0c
nvme_io: .byte 0x01, 0x02, 0x01, 0x02, 0x01, 0x02, 0x00, 0x05, 0x08, 0x09, 0x02, 0x01, 0x04, 0x0d, 0xff, 0x02

# The command AL at EDI, which moves on by 64.
nvme_command:
        movzbl  %al, %edx
        call    rnd
        andl    $0x00ff0000, %eax
        orl     %edx, %eax
        stosl
        call    rnd
        testb   $15, %al
        jz      1f
        movl    $1, %eax                # the namespace
1:      stosl
        xorl    %eax, %eax
        stosl
        stosl
        stosl
        stosl
        call    rnd_address             # PRP 1 and 2
        stosl
        xorl    %eax, %eax
        stosl
        call    rnd_address
        call    rnd_bit
        jc      2f
        andl    $0xfffff000, %eax
2:      stosl
        xorl    %eax, %eax
        stosl
        call    rnd
        call    rnd_bit
        jc      3f
        andl    $0x7ff, %eax            # a block that is there
3:      stosl
        xorl    %eax, %eax
        stosl
        call    rnd
        testb   $15, %al
        jz      4f
        andl    $0x1f, %eax
4:      stosl
        call    rnd
        andl    $4, %eax
        stosl
        xorl    %eax, %eax
        stosl
        stosl
        ret
# The command before EDI makes queue 1 at EAX, with these flags in ECX.
nvme_queue:
        movl    %eax, -40(%edi)
        movl    $0, -36(%edi)
        movl    $0x001f0001, -24(%edi)
        movl    %ecx, -20(%edi)
        ret

# A split ring by the legacy registers: chains of wild descriptors behind a header that may be sane.
d_virtio_blk:
        movl    $0xd400, %ebx
        jmp     d_virtio
d_virtio_scsi:
        movl    $0xd500, %ebx
d_virtio:
        call    ring_place
        andl    $0x1fff000, %eax
        movl    %eax, %esi
        leal    0x12(%ebx), %edx        # status: reset, seen, driver
        xorl    %eax, %eax
        outb    %al, %dx
        movb    $3, %al
        outb    %al, %dx
        leal    4(%ebx), %edx
        call    rnd
        outl    %eax, %dx               # features
        leal    14(%ebx), %edx
        call    rnd
        andl    $3, %eax
        outw    %ax, %dx
        movl    %eax, %ecx
        leal    8(%ebx), %edx
        movl    %esi, %eax
        shrl    $12, %eax
        outl    %eax, %dx
        pushl   %ecx
        movl    %esi, %edi              # descriptors: chains of four, even ones read, odd ones write; now and then anything
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax              # the header, 64 bytes a chain
        shll    $4, %eax
        leal    0x4000(%esi,%eax), %eax
        testb   $3, %cl
        jz      2f
        call    rnd_address
2:      stosl
        xorl    %eax, %eax
        stosl
        call    rnd
        testb   $0xf0, %al
        jz      4f
        andl    $0xe00, %eax            # whole sectors
        addl    $0x200, %eax
        testb   $3, %cl
        jz      3f
        movl    %ecx, %edx
        notb    %dl
        testb   $3, %dl
        jnz     4f
        cmpl    $0xd400, %ebx
        jne     4f
        movl    $1, %eax                # the status
        jmp     4f
3:      movl    $16, %eax
        cmpl    $0xd400, %ebx
        je      4f
        movl    $51, %eax
4:      stosl
        leal    1(%ecx), %edx           # the next one; every fourth ends the chain
        shll    $16, %edx
        orl     $3, %edx
        testb   $3, %cl
        jz      5f
        testb   $4, %cl
        jz      6f
        testb   $2, %cl
        jnz     6f
5:      andb    $0xfd, %dl              # the device reads it
6:      movl    %ecx, %eax
        notb    %al
        testb   $3, %al
        jnz     7f
        movl    $2, %edx
7:      call    rnd
        testb   $0x1e, %al
        jz      8f
        movl    %edx, %eax
8:      stosl
        incl    %ecx
        cmpl    $64, %ecx
        jb      1b
        leal    0x4000(%esi), %edi      # headers. Block: type, sector; SCSI: LUN, tag, command block
        xorl    %ecx, %ecx
1:      movl    %ecx, %eax
        andl    $1, %eax
        cmpl    $0xd400, %ebx
        je      2f
        movl    $0x00400001, %eax
2:      movl    %eax, (%edi)
        call    rnd
        testb   $0x38, %al
        jnz     3f
        andl    $15, %eax
        movl    %eax, (%edi)
3:      movl    $0, 4(%edi)
        call    rnd
        andl    $0x7ff, %eax
        movl    %eax, 8(%edi)
        movl    $0, 12(%edi)
        movl    $0, 16(%edi)
        call    rnd
        andl    $15, %eax
        movb    packet_commands(%eax), %al
        call    rnd_bit
        jc      4f
        movb    $0x28, %al              # READ or WRITE
        testb   $1, %cl
        jz      4f
        movb    $0x2a, %al
4:      movb    %al, 19(%edi)
        movb    $0, 20(%edi)
        call    rnd
        andl    $0x07000000, %eax
        movl    %eax, 21(%edi)
        call    rnd
        andl    $0x070000, %eax
        movl    %eax, 25(%edi)
        addl    $64, %edi
        incl    %ecx
        cmpl    $16, %ecx
        jb      1b
        leal    0x1000(%esi), %edi      # available: flags, index, ring
        movw    $0, (%edi)
        call    rnd
        movw    %ax, 2(%edi)
        testb   $7, %al
        jz      7f
        andw    $31, 2(%edi)
7:      movl    $32, %ecx
8:      call    rnd
        andl    $0x3c, %eax
        movw    %ax, 2(%edi,%ecx,2)
        decl    %ecx
        jnz     8b
        leal    0x12(%ebx), %edx
        movb    $7, %al                 # runs
        outb    %al, %dx
        popl    %eax
        leal    0x10(%ebx), %edx
        outw    %ax, %dx                # the bell
        call    rnd
        testb   $7, %al
        jz      9f
        ret
9:      movl    $VBLK, %esi
        cmpl    $0xd400, %ebx
        je      any_registers
        movl    $VSCSI, %esi

# ---------------------------------------------------------------- virtio devices in slots 12 to 18, by their modern registers
# Two queues of one device, split or packed, with chains of wild descriptors before small buffers; then any registers.
k_virtio:
        movl    $virtio_setup, %esi
1:      movl    (%esi), %ecx
        movl    4(%esi), %eax
        addl    $8, %esi
        call    pci_write
        cmpl    $virtio_setup_end, %esi
        jb      1b
        call    rnd
        andl    $7, %eax
        cmpl    $7, %eax
        jb      2f
        xorl    %eax, %eax
2:      shll    $16, %eax
        leal    VIRTIO(%eax), %ebx
        movb    $0, 0x14(%ebx)          # status: reset, seen, driver
        movb    $3, 0x14(%ebx)
        movl    $0, (%ebx)              # features: some of the device's, and version 1, with packed rings or without
        movl    4(%ebx), %ecx
        movl    $0, 8(%ebx)
        call    rnd
        testb   $0x1f, %al
        jz      5f
        andl    %ecx, %eax
5:      movl    %eax, 12(%ebx)
        movl    $1, (%ebx)
        movl    4(%ebx), %ecx
        movl    $1, 8(%ebx)
        call    rnd
        andl    $4, %eax
        andl    %ecx, %eax
        orl     $1, %eax
        movl    %eax, 12(%ebx)
        movb    $11, 0x14(%ebx)
        movl    %eax, %edi              # 4: packed
        call    rnd
        andl    $3, %eax
        call    virtio_queue
        call    rnd
        andl    $7, %eax
        call    virtio_queue
        movb    $15, 0x14(%ebx)         # runs
        movl    $6, %ecx
3:      call    rnd                     # bells
        andl    $7, %eax
        movw    %ax, 0x3000(%ebx,%eax,4)
        decl    %ecx
        jnz     3b
        call    rnd
        testb   $7, %al
        jz      4f
        ret
4:      movl    %ebx, %esi
        jmp     any_registers
virtio_setup:
        .long   0x80006020, VIRTIO, 0x80006024, 0, 0x80006004, 7
        .long   0x80006820, VIRTIO + 0x10000, 0x80006824, 0, 0x80006804, 7
        .long   0x80007020, VIRTIO + 0x20000, 0x80007024, 0, 0x80007004, 7
        .long   0x80007820, VIRTIO + 0x30000, 0x80007824, 0, 0x80007804, 7
        .long   0x80008020, VIRTIO + 0x40000, 0x80008024, 0, 0x80008004, 7
        .long   0x80008820, VIRTIO + 0x50000, 0x80008824, 0, 0x80008804, 7
        .long   0x80009020, VIRTIO + 0x60000, 0x80009024, 0, 0x80009004, 7
virtio_setup_end:

# Queue EAX of the device at EBX; bit 2 of EDI: packed.
virtio_queue:
        movw    %ax, 0x16(%ebx)
        call    rnd
        movl    $32, %ecx
        testb   $15, %al
        jnz     1f
        movzbl  %ah, %ecx
1:      movw    %cx, 0x18(%ebx)
        call    ring_place
        andl    $0x1fff000, %eax
        movl    %eax, %esi
        movl    %esi, 0x20(%ebx)
        movl    $0, 0x24(%ebx)
        addl    $0x1000, %eax
        movl    %eax, 0x28(%ebx)
        movl    $0, 0x2c(%ebx)
        addl    $0x1000, %eax
        movl    %eax, 0x30(%ebx)
        movl    $0, 0x34(%ebx)
        pushl   %edi
        movl    %edi, %edx
        movl    %esi, %edi
        xorl    %ecx, %ecx
2:      movl    %ecx, %eax              # a descriptor: a small buffer, or any address
        shll    $7, %eax
        leal    0x4000(%esi,%eax), %eax
        pushl   %eax
        call    rnd
        testb   $0x38, %al
        popl    %eax
        jnz     3f
        call    rnd_address
3:      stosl
        xorl    %eax, %eax
        stosl
        call    rnd
        testb   $0xf0, %al
        jz      4f
        andl    $0x7f, %eax
4:      stosl
        call    rnd
        testb   $0x7c, %al
        jz      7f
        testb   $4, %dl
        jz      5f
        andl    $0x0003001f, %eax       # packed: the flags are the high half; it is there
        orl     $0x00800000, %eax
        jmp     7f
5:      andl    $3, %eax                # split: half of them go on
        pushl   %ecx
        incl    %ecx
        shll    $16, %ecx
        orl     %ecx, %eax
        popl    %ecx
7:      stosl
        incl    %ecx
        cmpl    $32, %ecx
        jb      2b
        leal    0x4000(%esi), %edi      # what is in the buffers: small numbers; messages of 9P have their type in byte 4
        movl    $32, %ecx
8:      call    rnd
        andl    $0x3f, %eax
        movl    %eax, (%edi)
        call    rnd
        andl    $0x0101071f, %eax
        call    rnd_bit
        jc      9f
        addl    $100, %eax
9:      movl    %eax, 4(%edi)
        call    rnd
        movl    %eax, 8(%edi)
        andl    $0x0700ff03, %eax
        movl    %eax, 12(%edi)
        call    rnd_value
        movl    %eax, 16(%edi)
        addl    $128, %edi
        decl    %ecx
        jnz     8b
        leal    0x1000(%esi), %edi      # available: flags, index, ring; packed: the driver's events
        movw    $0, (%edi)
        call    rnd
        movw    %ax, 2(%edi)
        testb   $7, %al
        jz      1f
        andw    $31, 2(%edi)
1:      movl    $32, %ecx
2:      call    rnd
        andl    $0x1f, %eax
        movw    %ax, 2(%edi,%ecx,2)
        decl    %ecx
        jnz     2b
        movw    $1, 0x1c(%ebx)
        popl    %edi
        ret

# Some registers of what is at ESI.
any_registers:
        movl    $8, %ebx
1:      call    rnd
        movl    %eax, %edi
        andl    $0x31fc, %edi
        testl   $0x70000, %eax
        jz      2f
        andl    $0x1fc, %edi
2:      call    rnd_value
        movl    %eax, (%esi,%edi)
        movl    (%esi,%edi), %eax
        decl    %ebx
        jnz     1b
        ret

# The floppy controller and its 8237 channel.
k_fdc:  movl    $12, %ebx
        movl    $10, %ecx
1:      call    rnd                     # 8237: addresses, counts, modes, pages
        movl    %eax, %edx
        andl    $15, %edx
        shrl    $8, %eax
        outb    %al, %dx
        decl    %ecx
        jnz     1b
        outb    %al, $0x81
        movb    $2, %al
        outb    %al, $0x0a
        call    rnd
        andb    $0x3c, %al
        orb     $0x42, %al
        outb    %al, $0x0b
        movw    $0x3f2, %dx
        movb    $0x1c, %al
        outb    %al, %dx
        movw    $0x3f5, %dx
        call    rnd
        andl    $15, %eax
        movb    fdc_commands(%eax), %al
        outb    %al, %dx
2:      call    rnd
        testb   $0x30, %ah
        jz      3f
        andb    $7, %al
3:      outb    %al, %dx
        decl    %ebx
        jnz     2b
        movl    $8, %ecx
4:      inb     %dx, %al
        decl    %ecx
        jnz     4b
        call    rnd
        andl    $7, %eax
        leal    0x3f0(%eax), %edx
        call    rnd
        outb    %al, %dx
        ret
fdc_commands: .byte 0xe6, 0xc5, 0x46, 0x45, 0x4d, 0x0f, 0x07, 0x08, 0x03, 0x4a, 0x02, 0x13, 0x10, 0xd1, 0x8e, 0xcc

# fw_cfg: a descriptor with a wild address, then its address.
k_fwcfg:
        leal    SCRATCH(%ebp), %edi
        call    rnd
        andl    $0x1f00ff00, %eax       # control, big-endian
        movl    %eax, %ebx
        stosl
        call    rnd
        testb   $0x18, %al
        jz      1f
        andl    $0xffff0000, %eax
1:      stosl
        xorl    %eax, %eax
        call    rnd_bit
        jc      2f
        call    rnd
2:      stosl
        call    rnd_address
        bswapl  %eax
        stosl
        movw    $0x514, %dx
        xorl    %eax, %eax
        testb   $7, %bh
        jnz     3f
        call    rnd
3:      outl    %eax, %dx
        leal    SCRATCH(%ebp), %eax
        testl   $0x700, %ebx
        jnz     4f
        call    rnd_address
4:      bswapl  %eax
        movw    $0x518, %dx
        outl    %eax, %dx
        call    rnd
        movw    $0x510, %dx
        outw    %ax, %dx
        incl    %edx
        jmp     p_insb

# ---------------------------------------------------------------- memory
k_mmio: movl    $12, %ebx
1:      call    rnd_address
        movl    %eax, %esi
        call    rnd_address
        movl    %eax, %edi
        call    rnd
        movl    %eax, %edx
        andl    $31, %edx
        call    rnd_value
        movl    $3, %ecx
        call    *memory_ops(,%edx,4)
        cld
        decl    %ebx
        jnz     1b
        ret
memory_ops:
        .long   o_l8, o_l16, o_l32, o_s8, o_s16, o_s32, o_l64, o_s64, o_l128, o_s128, o_xchg, o_add, o_movs, o_movsd, o_stos, o_cmps
        .long   o_l8, o_l16, o_l32, o_s8, o_s16, o_s32, o_s32, o_s32, o_cx8, o_fild, o_fst, o_fsave, o_bts, o_down, o_scas, o_push
o_l8:   movb    (%esi), %al
        ret
o_l16:  movw    (%esi), %ax
        ret
o_l32:  movl    (%esi), %eax
        ret
o_s8:   movb    %al, (%edi)
        ret
o_s16:  movw    %ax, (%edi)
        ret
o_s32:  movl    %eax, (%edi)
        ret
o_l64:  movq    (%esi), %mm0
        ret
o_s64:  movq    %mm1, (%edi)
        ret
o_l128: call    sse_on
        movups  (%esi), %xmm0
        ret
o_s128: call    sse_on
        movups  %xmm0, (%edi)
        ret
o_xchg: lock xchgl %eax, (%edi)
        ret
o_add:  lock addl %eax, (%edi)
        ret
o_movs: rep movsb
        ret
o_movsd: movl   $70, %ecx
        rep movsl
        ret
o_stos: movl    $65, %ecx
        rep stosw
        ret
o_cmps: movl    $65, %ecx
        repe cmpsl
        ret
o_scas: movl    $3000, %ecx
        repne scasb
        ret
o_cx8:  pushl   %ebx
        movl    (%edi), %eax
        lock cmpxchg8b (%edi)
        popl    %ebx
        ret
o_fild: fildq   (%esi)
        ret
o_fst:  fldpi
        fstpt   (%edi)
        ret
o_fsave: fnsave (%edi)
        ret
o_bts:  lock btsl %eax, (%edi)
        ret
o_down: std
        movl    $40, %ecx
        rep movsl
        cld
        ret
o_push: movl    %esp, %edx              # the stack there
        movl    %edi, %esp
        pushal
        pushfl
        popl    %eax
        movl    %edx, %esp
        ret
sse_on: testl   $F_SSE, flags
        jz      1f
        movl    $0x600, %eax
        movl    %eax, %cr4
1:      ret

k_fill: call    rnd
        movl    %eax, %edi
        andl    $0x1fff000, %edi
        addl    $0x80000, %edi
        movl    $64, %ecx
        jmp     fill

# ---------------------------------------------------------------- CPU registers
k_msr:  testl   $F_MSR, flags
        jz      k_control
        call    rnd
        movl    %eax, %ecx
        testl   $0xf00, %eax
        jz      1f
        andl    $255, %ecx
        movl    msr_list(,%ecx,4), %ecx
1:      rdmsr                           # ends here if there is none
        call    rnd
        testb   $3, %al
        jz      2f
        call    rnd_value
        movl    %eax, %edx
2:      call    rnd_bit
        jc      3f
        xorl    %edx, %edx
3:      call    rnd_value
        wrmsr
        rdmsr
        cmpl    $0x10, %ecx
        jne     4f
        rdtsc
4:      call    rnd
        testb   $3, %al
        jz      k_template
        ret

k_control:
        call    rnd
        movl    %eax, %edx
        andl    $15, %edx
        call    rnd_value
        call    *control_ops(,%edx,4)
        call    rnd
        testb   $3, %al
        jz      k_mmio
        testb   $7, %al
        jz      1f
        ret
1:      int3
control_ops: .long c_cr0, c_cr0, c_cr3, c_cr4, c_cr4, c_cr8, c_dr, c_dr, c_dr7, c_xcr0, c_lgdt, c_lidt, c_lmsw, c_ltr, c_tr, c_paging
c_cr0:  movl    %eax, %cr0
        ret
c_cr3:  movl    %eax, %cr3
        ret
c_cr4:  movl    %eax, %cr4
        ret
c_cr8:  movl    %cr2, %ecx
        movl    %eax, %cr2
        .byte   0xf0, 0x0f, 0x22, 0xc0  # lock mov %eax, %cr0: CR8 on AMD's
        ret
c_dr:   movl    %eax, %dr0
        call    rnd_address
        movl    %eax, %dr1
        call    rnd
        movl    %eax, %dr2
        movl    %eax, %dr3
        movl    %eax, %dr6
c_dr7:  call    rnd
        movl    %eax, %dr7
        jmp     k_mmio
c_xcr0: testl   $F_XSAVE, flags
        jz      c_cr4
        movl    $0x40600, %ecx
        movl    %ecx, %cr4
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        xsetbv
        ret
c_lgdt: movl    %eax, SCRATCH+2(%ebp)
        lgdt    SCRATCH(%ebp)
        jmp     f_any
c_lidt: movl    %eax, SCRATCH+2(%ebp)
        call    rnd
        testb   $3, %al
        jz      1f
        movw    $0, SCRATCH(%ebp)       # a quick end
1:      lidt    SCRATCH(%ebp)
        ret
c_lmsw: lmsw    %ax
        ret
c_ltr:  lldt    %ax
        ret
c_tr:   ltr     %ax
        ret
c_paging: movl  %eax, %cr3
        movl    %cr0, %ecx
        orl     $0x80000000, %ecx
        movl    %ecx, %cr0
        movl    (%eax), %ecx
        ret

# Far transfers and segment loads through wild descriptors.
k_far:  leal    WILD_GDT, %edi
        movl    $gdt, %esi
        movl    $((gdt_end - gdt) / 4), %ecx
        rep movsl
        movl    $64, %ecx
        call    fill
        leal    TSS_ANY, %edi
        movl    $26, %ecx
1:      call    rnd_value
        stosl
        decl    %ecx
        jnz     1b
        call    rnd
        testb   $3, %al
        jz      2f
        movl    $recover32, TSS_ANY+32
        movl    $8, TSS_ANY+76
        movl    $0x10, TSS_ANY+80
        movl    $STACK, TSS_ANY+56
2:      lgdt    wild_gdtr
f_any:  call    rnd
        andl    $0xfff, %eax
        call    rnd_bit
        jc      1f
        andl    $0x1ff, %eax
1:      movl    %eax, SCRATCH+12(%ebp)
        movl    %eax, %edx
        call    rnd_value
        movl    %eax, SCRATCH+8(%ebp)
        call    rnd
        andl    $15, %eax
        jmp     *far_ops(,%eax,4)
far_ops: .long  f_call, f_call, f_jmp, f_jmp, f_ret, f_iret, f_ds, f_ss, f_lar, f_ltr, f_lldt, f_int, f_task, f_nt, f_callw, f_sysenter
f_call: lcall   *SCRATCH+8(%ebp)
        int3
f_callw: lcallw *SCRATCH+10(%ebp)
        int3
f_jmp:  ljmp    *SCRATCH+8(%ebp)
f_ret:  pushl   $0x3b
        pushl   %eax
        pushl   %edx
        pushl   SCRATCH+8(%ebp)
        lret
f_iret: pushl   $0x3b
        pushl   %eax
        call    random_flags
        pushl   %eax
        pushl   %edx
        pushl   SCRATCH+8(%ebp)
        iretl
f_ds:   movw    %dx, %ds
        movw    %dx, %fs
        movl    %eax, %fs:(%eax)
        ret
f_ss:   movw    %dx, %ss
        pushl   %eax
        ret
f_lar:  larl    %edx, %eax
        lsll    %edx, %eax
        verr    %dx
        verw    %dx
        ret
f_ltr:  ltr     %dx
        ljmp    $0x68, $0
f_lldt: lldt    %dx
        orb     $4, %dl
        movw    %dx, %es
        ret
f_int:  call    rnd
        movb    $0xcd, CODE
        movb    %al, CODE+1
        movb    $0xcc, CODE+2
        call    rnd_address
        movl    %eax, SCRATCH+2(%ebp)
        lidt    SCRATCH(%ebp)
        movl    $CODE, %eax
        jmp     *%eax
f_task: lcall   $0x68, $0
        lcall   $0x70, $0
        ret
f_nt:   pushl   $0x4002                 # IRET to the task of the back link
        popfl
        movw    %dx, TSS32(%ebp)
        iretl
f_sysenter:
        testl   $F_MSR, flags
        jz      f_task
        movl    $0x174, %ecx
        movl    %edx, %eax
        wrmsr
        incl    %ecx
        incl    %ecx
        call    rnd_address
        xorl    %edx, %edx
        wrmsr
        sysenter

# ---------------------------------------------------------------- interrupts
k_apic: testl   $F_APIC, flags
        jz      k_port
        movl    $6, %ebx
1:      call    rnd
        movl    %eax, %edi
        andl    $0xff0, %edi
        movl    %eax, %esi
        call    rnd_value
        testl   $0x10000, %esi
        jz      2f
        movl    %eax, 0xfee00000(%edi)
        movl    0xfee00000(%edi), %ecx
        jmp     4f
2:      testl   $0x20000, %esi
        jz      3f
        movl    %edi, 0xfec00000        # I/O APIC
        movl    %eax, 0xfec00010
        jmp     4f
3:      movl    %eax, %ecx              # messages
        call    rnd
        andl    $0xf000000, %eax
        movl    %eax, 0xfee00310
        call    rnd
        andl    $0x000ccfff, %eax
        movl    %eax, 0xfee00300
4:      decl    %ebx
        jnz     1b
        call    rnd
        testb   $31, %al
        jnz     5f
        sti
        nop
        hlt
5:      ret

# SMM: a handler of random instructions, a random place in the saved state, then the interrupt.
k_smm:  movl    $SMM_ENTRY, %edi
        call    generate
        movw    $0xaa0f, (%edi)
        call    rnd
        testb   $1, %al
        jz      1f
        movw    $0xaa0f, SMM_ENTRY
1:      movl    $0x80000b58, %ecx       # PIIX4: SMI by port 0xb2
        movl    $0x02000000, %eax
        call    pci_write
        movl    $0x80000b40, %ecx
        movl    $(PM_BASE | 1), %eax
        call    pci_write
        movl    $0x80000b80, %ecx
        movl    $1, %eax
        call    pci_write
        movw    $(PM_BASE + 0x28), %dx
        movl    $1, %eax
        outl    %eax, %dx
        call    rnd
        testb   $3, %al
        jz      2f
        movl    $SMM_ENTRY, %edi        # the handler scribbles over the state it returns to
        call    smm_scribbler
2:      call    rnd
        outb    %al, $0xb2
        testb   $0x20, %al
        jz      3f
        testl   $F_APIC, flags
        jz      3f
        movl    $0x00080200, 0xfee00300 # all including self
3:      nop
        ret
# mov $0xfe00+n, %bx; movl $value, %cs:(%bx); rsm
smm_scribbler:
        movb    $0xbb, (%edi)
        call    rnd
        andl    $0x1ff, %eax
        orl     $0xfe00, %eax
        movw    %ax, 1(%edi)
        movl    $0x07c7662e, 3(%edi)
        call    rnd_value
        movl    %eax, 7(%edi)
        movw    $0xaa0f, 11(%edi)
        ret

# x87 and SSE state from random images, then code with it.
k_fpu:  movl    $0x7f000, %edi
        movl    $208, %ecx
        call    fill
        movl    $0x620, %eax
        testl   $F_XSAVE, flags
        jz      1f
        movl    $0x40620, %eax
1:      testl   $F_SSE, flags
        jz      2f
        movl    %eax, %cr4
        call    rnd
        andl    $0xffff, %eax
        call    rnd_bit
        jc      2f
        andl    $0x7f80, %eax
2:      movl    %eax, 0x7f018           # MXCSR
        call    rnd
        andl    $7, %eax
        movl    %eax, 0x7f200           # XSTATE_BV
        movl    $0x7f000, %esi
        call    rnd
        testb   $0xf, %al
        jnz     3f
        call    rnd_address
        movl    %eax, %esi
3:      call    rnd
        movl    %eax, %edx
        andl    $7, %edx
        call    rnd
        call    *fpu_ops(,%edx,4)
        call    rnd
        testb   $3, %al
        jz      4f
        jmp     k_template
4:      ret
fpu_ops: .long  u_fxrstor, u_frstor, u_fldenv, u_xrstor, u_fxrstor, u_fxsave, u_xsave, u_frstor16
u_fxrstor: fxrstor (%esi)
        ret
u_frstor: frstor (%esi)
        ret
u_frstor16: data16 frstor (%esi)
        fnstenv (%esi)
        ret
u_fldenv: fldenv (%esi)
        ret
u_fxsave: fxsave (%esi)
        ret
u_xrstor: movl  $0, 0x7f208
        movl    $0, 0x7f20c
        movl    $0, 0x7f204
        leal    0x7f210, %edi
        movl    $12, %ecx
        push    %eax
        xorl    %eax, %eax
        rep stosl
        pop     %eax
        xorl    %edx, %edx
        xrstor  (%esi)
        ret
u_xsave: xsave  (%esi)
        ret

        .org    0x8000
template_list:
        .fill   0x7000, 1, 0
        .org    0xf000                  # where start-up message 0xff starts a CPU, by way of the copy below 1 MiB
        .code16
        cli
        movw    $0xf000, %ax
        movw    %ax, %ds
        ljmp    $0xf000, $(recover16 - rom)
        .org    0xfff0
        cli
        jmp     reset16
        .org    0x10000
