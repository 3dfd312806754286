import { Badge, Button, Group, Modal, Stack, Table, Text, TextInput, Title } from "@mantine/core"
import { useDebouncedValue, useDisclosure } from "@mantine/hooks"
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { Problem } from "../api"
import { Figure, Figures } from "../Figures"
import { Result } from "../Result"
import { SecondFactor } from "../SecondFactor"
import { QuickAdd } from "./QuickAdd"
import { type Tenant, tenants } from "./queries"

const dollars = new Intl.NumberFormat("en-US", {
  style: "currency",
  currency: "USD",
  maximumFractionDigits: 0,
})

export function Tenants() {
  const [search, setSearch] = useState("")
  const [settled] = useDebouncedValue(search.trim(), 250)
  const [adding, add] = useDisclosure(false)
  const queries = useQueryClient()
  const stats = useQuery(tenants.stats())
  const list = useQuery({ ...tenants.list(settled), placeholderData: keepPreviousData })
  if (stats.error instanceof Problem && stats.error.code === "mfa_required")
    return <SecondFactor onDone={() => void queries.resetQueries()} />
  return (
    <Stack>
      <Result query={stats}>
        {(figures) => (
          <Figures>
            <Figure label="Tenants" value={figures.total} />
            <Figure label="Active" value={figures.active} />
            <Figure label="Trial" value={figures.trial} />
            <Figure label="Monthly revenue" value={dollars.format(figures.mrr_cents / 100)} />
          </Figures>
        )}
      </Result>
      <Group justify="space-between" align="end">
        <TextInput
          type="search"
          label="Search"
          placeholder="Name, slug, e-mail or number"
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <Button onClick={add.open}>Add new tenant</Button>
      </Group>
      <Result query={list}>
        {(page) =>
          page.items.length > 0 ? (
            <TenantTable items={page.items} more={page.next !== null} />
          ) : (
            <Stack align="center" p="xl">
              <Title order={2} size="h4">
                {settled ? "No tenant matches" : "No tenants yet"}
              </Title>
              {!settled && <Button onClick={add.open}>Add the first one</Button>}
            </Stack>
          )
        }
      </Result>
      <Modal.Root opened={adding} onClose={add.close} size="lg">
        <Modal.Overlay />
        <Modal.Content>
          {/* No Modal.Header: it would be a second banner beside the page's. */}
          <Modal.Body pt="md">
            <Group justify="space-between" mb="sm">
              <Modal.Title>New tenant</Modal.Title>
              <Modal.CloseButton aria-label="Close" ml={0} />
            </Group>
            <QuickAdd onDone={() => void queries.invalidateQueries({ queryKey: tenants.all })} />
          </Modal.Body>
        </Modal.Content>
      </Modal.Root>
    </Stack>
  )
}

function TenantTable({ items, more }: { items: Tenant[]; more: boolean }) {
  return (
    <>
      <Table.ScrollContainer
        minWidth={640}
        scrollAreaProps={{ viewportProps: { tabIndex: 0, role: "region", "aria-label": "Tenants" } }}
      >
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Company</Table.Th>
              <Table.Th scope="col">Calls</Table.Th>
              <Table.Th scope="col">Plan</Table.Th>
              <Table.Th scope="col">Status</Table.Th>
              <Table.Th scope="col">Phone number</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {items.map((tenant) => (
              <Table.Tr key={tenant.id}>
                <Table.Td>
                  {tenant.company_name}
                  <Text size="xs" c="dimmed">
                    {tenant.slug} · {tenant.owner_email}
                  </Text>
                </Table.Td>
                <Table.Td>
                  {tenant.current_month_calls} of {tenant.max_monthly_calls ?? "no limit"}
                </Table.Td>
                <Table.Td tt="capitalize">{tenant.plan_tier}</Table.Td>
                <Table.Td>
                  <Badge variant="default">{tenant.subscription_status}</Badge>
                </Table.Td>
                <Table.Td>{tenant.twilio_phone_number ?? "none"}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {more && (
        <Text size="sm" c="dimmed">
          There are more: search to narrow the list.
        </Text>
      )}
    </>
  )
}
